# %%persist shown --backend local
from IPython.display import HTML, display
display(HTML('<b>bold</b>'))
'shown'