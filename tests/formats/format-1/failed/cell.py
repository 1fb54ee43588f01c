# %%persist failed --backend local
print('before')
raise ValueError('no such luck')