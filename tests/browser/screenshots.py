"""``python -m tests.browser.screenshots``: take the README's pictures anew, of the real product with real jobs.

Owns what is seen on them. They are written to notebooks/pictures.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import expect

from persist_magic import jobs

from .chromium import chromium
from .jupyter import Notebook, server

PICTURES = Path(__file__).parents[2] / "notebooks" / "pictures"

SETUP = """%load_ext persist_magic
import numpy as np
from sklearn.datasets import load_digits
images, labels = load_digits(return_X_y=True)
rng = np.random.default_rng(7)"""
TRAIN = """%%persist train
from sklearn.neural_network import MLPClassifier
from tqdm import tqdm
model = MLPClassifier((256, 128), random_state=0)
for epoch in tqdm(range(8000), desc="epochs"):
    model.partial_fit(images[:1500], labels[:1500], classes=range(10))
    if epoch % 10 == 0:
        print(f"epoch {epoch}: accuracy {model.score(images[1500:], labels[1500:]):.4f}")
model.score(images[1500:], labels[1500:])"""
CALCPI = """%%persist calcpi
points = np.random.default_rng(1).random((2, 10**7))
4 * np.mean((points**2).sum(0) < 1)"""
SPECTRUM = """%%persist spectrum
import matplotlib.pyplot as plt
values = np.linalg.eigvalsh(np.cov(images.T))
fig, ax = plt.subplots(figsize=(6, 2.4))
ax.semilogy(values[::-1][:50], ".-")
ax.set(xlabel="component", ylabel="variance", title="Variance of the digits")
values[-3:]"""
CLUSTER = """%%persist cluster
labels.reshape(10, 180)"""
SWEEP = """%%persist svc --each C=np.linspace(0, 5, 21) --each gamma=np.logspace(-5, 1, 20)
from sklearn.svm import SVC
model = SVC(C=C, gamma=gamma).fit(images[:1500], labels[:1500])
score = model.score(images[1500:], labels[1500:])
print(f"C {C:g}, gamma {gamma:.3g}: {len(model.support_)} support vectors, accuracy {score:.4f}")
score"""
QUEUED = """%%persist boots -- --slots 1
sum(rng.random(10**7).mean() for _ in range(100))"""


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="persist-pictures-"))
    cells = [SETUP, CALCPI, SPECTRUM, CLUSTER, TRAIN, QUEUED, "%persist_status", SWEEP]
    with chromium() as browser, server(place, PERSIST_ROOT=str(place / "jobs")) as jupyter:
        jupyter.write("pictures.ipynb", cells)
        notebook = Notebook(browser, jupyter, "pictures.ipynb", device_scale_factor=2)
        notebook.page.set_viewport_size({"width": 1560, "height": 1200})
        try:
            for at in range(7):
                notebook.run(at)
            dashboard = notebook.output(6).locator(".persist-magic")
            expect(dashboard.locator("tr[data-name=spectrum]")).to_contain_text("done", timeout=120_000)
            samples = dashboard.locator("tr[data-name=train] .persist-cpu polyline")
            eight = "each => (each.getAttribute('points') ?? '').split(' ').length >= 8"
            notebook.page.wait_for_function(eight, arg=samples.element_handle(), timeout=120_000)
            dashboard.get_by_role("button", name="log train").click()
            expect(dashboard.get_by_role("log")).to_contain_text("epoch 0")
            dashboard.scroll_into_view_if_needed()
            dashboard.screenshot(path=PICTURES / "dashboard.png")
            for job in jobs(place / "jobs"):
                job.cancel(force=True)
            notebook.run(7)
            sweep = notebook.output(7).locator(".persist-magic")
            sweep.get_by_role("button", name="tasks svc").click()
            expect(sweep).to_contain_text(re.compile("2[5-9][0-9] of 420 tasks done"), timeout=300_000)
            sweep.get_by_role("spinbutton", name="task").fill("217")
            expect(sweep).to_contain_text("support vectors")
            sweep.scroll_into_view_if_needed()
            sweep.screenshot(path=PICTURES / "sweep.png")
            notebook.page.evaluate(
                "window.jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Dark' })"
            )
            card = notebook.output(2).locator(".persist-magic")
            card.get_by_role("button", name="details spectrum").click()
            card.get_by_role("tab", name="Outputs").click()
            expect(card.get_by_role("img", name="figure")).to_be_visible()
            card.scroll_into_view_if_needed()
            card.screenshot(path=PICTURES / "card.png")
        finally:
            for job in jobs(place / "jobs"):
                job.cancel(force=True)
                job.wait(60)
            notebook.shut_down()
    shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
