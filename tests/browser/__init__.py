"""The dashboard in a real Chromium: its module alone, and in JupyterLab and Notebook."""
