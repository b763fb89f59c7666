"""Tests of the page in a real browser: wide and narrow, light and dark, with and without scripts.

They need Chromium or Chrome on the search path, and are skipped where there is none.
"""

import io
import shutil

import numpy as np
import pytest
from matplotlib.image import imread

from pgbench.grid.reader import parse_grid
from pgbench.harness.runner import execute
from pgbench.report import write_report

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium or Chrome")

ESTIMATING = """
name: estimating
problems:
  - {problem: garnet, n_states: [4, 8], gamma: 0.9}
  - {problem: chain, length: 3}
policies: [softmax, {policy: loglinear, n_features: 3}]
estimators:
  - reinforce
  - {estimator: reward_to_go, discounted: [true, false]}
  - {estimator: gae, lam: [0, 0.5, 1], critic_noise: [0, 0.5, 1, 2, 4, 8]}
  - rloo
  - {estimator: importance_sampling, exploration: [0.1, 0.2, 0.3]}
batch_sizes: [2, 8]
horizon: 8
replicates: 20
"""
CLIMBING = """
name: climbing
problems: [corridor, {problem: lqg, noise: 0.1}]
policies: [softmax, gaussian]
ascent:
  steps: 60
  points: 12
  replicates: 4
  step_sizes: [0.001, 0.01, 0.1]
  algorithms:
    - {algorithm: actor_critic, critic_step: [0.01, 0.1, 1]}
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Pages of a run of estimators, more than a high panel has, and of one of ascents."""
    folder = tmp_path_factory.mktemp("pages")
    return [
        write_report(execute(parse_grid(text), folder).tree, folder / "reports" / str(i))
        for i, text in enumerate((ESTIMATING, CLIMBING))
    ]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as found:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        started = found.chromium.launch(executable_path=BROWSER, args=options)
        yield started
        started.close()


@pytest.fixture
def opened(browser, pages):
    """Opens a page with options of the browser."""
    contexts = []

    def opens(which=0, width=1300, **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.goto(pages[which].as_uri())
        return page

    yield opens
    for context in contexts:
        context.close()


OVERLAPS = """() => [...document.querySelectorAll("figure svg")].flatMap((svg) => {
  const boxes = [...svg.querySelectorAll("text")]
    .filter((own) => own.textContent.trim())
    .map((own) => [own.textContent.trim(), own.getBoundingClientRect()]);
  return boxes.flatMap(([a, p], i) => boxes.slice(0, i).flatMap(([b, q]) => {
    const width = Math.min(p.right, q.right) - Math.max(p.left, q.left);
    const height = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
    if (width <= 0 || height <= 0) return [];
    const least = Math.min(p.width * p.height, q.width * q.height);
    return width * height > 0.12 * least ? [`${svg.ariaLabel}: ${a} on ${b}`] : [];
  }));
})"""


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(("width", "scheme"), [(1300, "light"), (390, "dark")])
def test_no_text_of_a_figure_lies_on_another(opened, which, width, scheme):
    page = opened(which, width, color_scheme=scheme)
    assert page.locator("figure svg text").count() > 100
    assert page.evaluate(OVERLAPS) == []


def test_text_that_overlaps_is_found(opened):
    page = opened()
    page.evaluate("""() => {
      const own = document.querySelector("figure svg text");
      own.parentNode.append(Object.assign(own.cloneNode(true), {textContent: "on it"}));
    }""")
    assert any("on it" in found for found in page.evaluate(OVERLAPS))


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("width", [390, 1300])
def test_the_page_is_as_wide_as_the_window(opened, which, width):
    page = opened(which, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("which", [0, 1])
def test_figures_are_readable_on_a_phone(opened, which):
    """Type of 7 points and more, in a figure that is scrolled; and a link to the file itself."""
    page = opened(which, 390)
    least = page.evaluate("""() => Math.min(...[...document.querySelectorAll("figure svg text")]
      .filter((own) => /[a-z]{3}/.test(own.textContent))
      .map((own) => own.getBoundingClientRect())
      .map((box) => Math.min(box.width, box.height)))""")
    assert least > 7
    links = page.locator("figure a.alone").evaluate_all("all => all.map((own) => own.href)")
    assert links
    assert all(link.endswith(".svg") for link in links)


def test_figures_are_dark_where_the_page_is(opened):
    shades = {}
    for scheme in ("light", "dark"):
        shot = opened(color_scheme=scheme).locator("figure svg").first.screenshot()
        shades[scheme] = float(np.median(imread(io.BytesIO(shot))[..., :3]))
    assert shades["light"] > 0.95
    assert shades["dark"] < 0.2


def test_letters_of_figures_come_with_the_page(opened):
    """Widths are those that the layout was made for, whatever fonts a machine has."""
    page = opened()
    faces = "document.fonts.ready.then(() => [...document.fonts].map((own) => own.status))"
    assert "loaded" in page.evaluate(faces)


CELLS = "#cells + details"


def column(page, name):
    """What stands in a column of the table of all cells, in rows that are shown."""
    heads = page.locator(f"{CELLS} thead th").all_text_contents()
    place = heads.index(name) + 1
    rows = f"{CELLS} tbody tr:not([hidden]) > :nth-child({place})"
    return page.locator(rows).all_text_contents()


def test_tables_sort_filter_and_hide(opened):
    page = opened()
    page.locator(f"{CELLS} > summary").click()
    everything = column(page, "n")
    head = page.locator(f"{CELLS} thead").get_by_role("button", name="steps", exact=True)
    for sign in (1, -1):
        head.click()
        found = [sign * float(text) for text in column(page, "steps")]
        assert len(set(found)) > 1
        assert found == sorted(found)
    page.locator(f"{CELLS} input[type=search]").fill("chain rloo")
    kept = column(page, "estimator")
    assert 0 < len(kept) < len(everything)
    assert set(kept) == {"rloo"}
    page.locator(f"{CELLS} .tools summary").click()
    page.locator(f"{CELLS} .tools label input").first.uncheck()
    assert not page.locator(f"{CELLS} thead th").first.is_visible()
    assert page.locator(f"{CELLS} thead th").nth(1).is_visible()


def test_powers_of_ten_sort_as_numbers(opened):
    page = opened()
    values = page.evaluate("""["2·10⁻³", "−1.5", "0.01 ± 2", "< 10⁻¹⁶", "∞", "—", "gae"].map(
      (text) => value(Object.assign(document.createElement("td"), {textContent: text})))""")
    assert values == [0.002, -1.5, 0.01, pytest.approx(1e-16), np.inf, "—", "gae"]


def test_without_scripts_everything_is_there(opened):
    plain, full = opened(java_script_enabled=False), opened()
    rows = []
    for page in (plain, full):
        assert page.locator("main > .finding").count() == 3
        rows.append(page.locator("table.data tbody tr").count())
    assert rows[0] == rows[1] > 100
    assert plain.locator(".tools").count() == 0
    assert full.locator(".tools").count() > 2


def test_the_page_loads_nothing_from_elsewhere(opened):
    page = opened()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    assert {url.split(":")[0] for url in asked} <= {"file", "data"}
