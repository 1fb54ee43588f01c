# %%persist plain --backend local
print('printed')
found = {'a': [1, 2.5], 'b': ('x', None)}
sum(found['a'])