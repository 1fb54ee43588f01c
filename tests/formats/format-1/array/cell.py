# %%persist array --backend local
start[0] = 9
table = start[:600].reshape(6, 100)
table[0, :3]