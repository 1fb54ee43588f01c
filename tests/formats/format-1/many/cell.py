# %%persist many --backend local
print('task', n)
if n == 2: raise ValueError(n)
n * 10