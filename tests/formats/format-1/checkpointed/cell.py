# %%persist checkpointed --backend local
__import__('persist_magic').checkpoint(step=7, parts=[1, 2])
'checkpointed'