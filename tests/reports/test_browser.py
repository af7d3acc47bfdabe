"""The report in a real headless Chromium: scripts/test_report_browser.sh installs what this needs
and runs it.
"""

import json
from pathlib import Path

import pandas as pd
import pytest

from automtl.cli._report import run as report_command
from tests.reports.runs import write_retrain, write_run, write_search

pytestmark = pytest.mark.slow

HOSTILE = "<script>alert(1)</script>"
NAMES = (HOSTILE, "buy", "like")
STILL = {"name": "prefers-reduced-motion", "value": "reduce"}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    architecture = write_search(folder / "first", names=NAMES, experts=8)
    for seed in (0, 1):
        write_retrain(folder / "first", architecture, seed=seed)
    write_run(folder / "second", names=NAMES, seeds=(0,), seed=3)
    write_search(folder / "third", epochs=1)
    betas = pd.read_parquet(folder / "third/search/betas.parquet")
    betas = betas.assign(weight=(betas.expert < 2) / 2)  # points, two of them at the top
    betas.to_parquet(folder / "third/search/betas.parquet")
    report_command([folder / n for n in ("first", "second", "third")], folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1280,900",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


def open_page(browser, page: Path, *, width: int = 1280, dark: bool = False) -> None:
    mobile = width < 500
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": mobile},
    )
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"media": "", "features": [scheme, STILL]}
    )
    browser.get(page.as_uri())


def find(browser, selector: str):
    from selenium.webdriver.common.by import By

    return browser.find_elements(By.CSS_SELECTOR, selector)


def hover(browser, element) -> None:
    from selenium.webdriver import ActionChains

    browser.execute_script(
        "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element
    )
    ActionChains(browser).move_to_element(element).perform()


def press(browser, *keys: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(browser).send_keys(*keys).perform()


def test_no_console_errors_no_requests_and_no_alert(browser, page):
    browser.get_log("browser"), browser.get_log("performance")
    open_page(browser, page)
    assert page.stat().st_size < 6 * 2**20
    assert [line for line in browser.get_log("browser") if line["level"] != "INFO"] == []
    events = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    asked = {
        e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"
    }
    assert {url for url in asked if not url.startswith("data:")} == {page.as_uri()}
    assert "alert(1)" in browser.page_source and HOSTILE in browser.execute_script(
        "return document.body.innerText"
    )
    assert len(find(browser, "script")) == 1


@pytest.mark.parametrize("width", [375, 820, 821, 1300])
def test_the_page_never_scrolls_sideways(browser, page, width):
    open_page(browser, page, width=width)
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    wide = """return [...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll')
      && e.getBoundingClientRect().right > innerWidth + 1).slice(0, 5)"""
    assert [
        element.get_attribute("outerHTML")[:200] for element in browser.execute_script(wide)
    ] == []
    if width <= 820:  # decisions are cards there
        wide = "return [...document.querySelectorAll('#decisions .scroll')].map(e => e.scrollWidth - e.clientWidth)"
        assert browser.execute_script(wide) == [0, 0, 0]


@pytest.mark.parametrize("width", [375, 1300])
def test_letters_of_a_chart_stay_in_it_and_do_not_overlap(browser, page, width):
    open_page(browser, page, width=width)
    assert len(find(browser, "svg.chart text")) > 100
    outside = """
    return [...document.querySelectorAll('svg.chart text')].filter(t => {
      const a = t.getBoundingClientRect(), b = t.ownerSVGElement.getBoundingClientRect();
      return a.left < b.left - 1 || a.right > b.right + 1 || a.top < b.top - 1 || a.bottom > b.bottom + 1;
    }).map(t => t.textContent);"""
    assert browser.execute_script(outside) == []
    assert browser.execute_script(overlaps("svg.chart")) == []


def test_hovering_an_operation_tells_its_candidates(browser, page):
    open_page(browser, page)
    chips = find(browser, "#arch0 svg [data-info]")
    assert len(chips) > 8
    tip = find(browser, "#arch0 .tip")[0]
    assert not tip.is_displayed()
    hover(browser, chips[1])
    assert tip.is_displayed() and "margin" in tip.text and chips[1].text in tip.text
    rows = tip.text.splitlines()
    assert len([row for row in rows if "0." in row]) > 4
    press(browser, "\ue00c")  # Escape
    assert not tip.is_displayed()


def test_clicking_a_task_lights_its_path(browser, page):
    open_page(browser, page)
    button = find(browser, "#arch0 .tasks [data-task='1']")[0]
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    dim = {e.get_attribute("data-tasks") for e in find(browser, "#arch0 svg .off")}
    lit = {
        e.get_attribute("data-tasks") for e in find(browser, "#arch0 svg [data-tasks]:not(.off)")
    }
    assert (
        dim
        and lit
        and all("1" not in tasks.split() for tasks in dim)
        and all("1" in tasks.split() for tasks in lit)
    )
    tower = find(browser, "#arch0 svg g.tower[data-task='1']")[0]
    assert tower.get_attribute("aria-pressed") == "true"
    hover(browser, tower)
    tower.click()
    assert (
        find(browser, "#arch0 svg .off") == [] and button.get_attribute("aria-pressed") == "false"
    )


def test_the_keyboard_reaches_operations_and_tasks(browser, page):
    open_page(browser, page)
    browser.execute_script("document.querySelector('#arch0 .tasks button').focus()")
    press(browser, "\ue007")  # Enter
    assert find(browser, "#arch0 svg .off")
    reached = set()
    for _ in range(40):
        press(browser, "\ue004")  # Tab
        reached.add(
            browser.execute_script(
                "const e = document.activeElement; return e.dataset.info || e.dataset.task || ''"
            )
        )
    assert (
        len({name for name in reached if name.startswith("arch0-")}) >= 8
        and {"0", "1", "2"} <= reached
    )
    chip = find(browser, "#arch0 svg [data-info]")[0]
    browser.execute_script("arguments[0].focus()", chip)
    assert find(browser, "#arch0 .tip")[0].is_displayed()
    browser.execute_script("document.querySelector('#arch0 svg g.tower').focus()")
    press(browser, " ")
    assert find(browser, "#arch0 svg g.tower")[0].get_attribute("aria-pressed") in ("true", "false")


def test_on_a_telephone_cards_take_the_picture_s_place(browser, page):
    open_page(browser, page, width=375)
    assert not find(browser, "#arch0 svg.arch-wide")[0].is_displayed()
    chip = find(browser, "#arch0 .arch-narrow [data-info]")[0]
    browser.execute_script(
        "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", chip
    )
    chip.click()
    tip = find(browser, "#arch0 .tip")[0]
    box = browser.execute_script(
        "const b = arguments[0].getBoundingClientRect(); return [b.left, b.right]", tip
    )
    assert tip.is_displayed() and box[0] >= 0 and box[1] <= 375
    small = (
        "return [...document.querySelectorAll('#arch0 button')].filter(b => b.offsetParent && "
        "b.offsetHeight < 24).length"
    )
    assert browser.execute_script(small) == 0


def contrast_script() -> str:
    return """
    const value = (c) => { const m = c.match(/[\\d.]+/g).map(Number); return m; };
    const lum = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
      .reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
    const ground = (e) => {
      for (; e; e = e.parentElement) { const c = value(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; }
    };
    const bad = [], words = ["p", "th", "td", "button", "summary", "a", "figcaption span", "svg.chart text"].map(s => "main " + s);
    for (const e of document.querySelectorAll(words.join())) {
      if (!e.textContent.trim() || !e.getClientRects().length) continue;
      const style = getComputedStyle(e), svg = e.ownerSVGElement;
      if (svg && !style.fill.startsWith("rgb")) continue;
      if (svg && ["rgb(22, 32, 42)", "rgb(255, 255, 254)"].includes(style.fill)) continue;  // on its own chip, measured elsewhere
      const a = lum(value(svg ? style.fill : style.color)), b = lum(ground(svg ? svg.parentElement : e));
      const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
      if (ratio < 4.5) bad.push(e.textContent.trim().slice(0, 40) + " " + ratio.toFixed(2));
    }
    return bad;"""


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_in_light_and_in_dark(browser, page, dark):
    open_page(browser, page, dark=dark)
    assert browser.execute_script(contrast_script()) == []
    ground = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 150) == dark


def overlaps(pictures: str) -> str:
    """A script for the pairs of level texts of one picture that lie over each other."""
    return f"""
    const bad = [];
    for (const picture of document.querySelectorAll('{pictures}')) {{
      const turned = (t) => Number((t.outerHTML.match(/rotate\\((-?[\\d.]+)/) || [0, 0])[1]);
      const level = [...picture.querySelectorAll('text')].filter(t => !turned(t));
      const boxes = level.map(t => [t.textContent, t.getBoundingClientRect()]).filter(([s]) => s);
      for (let i = 0; i < boxes.length; i++) for (let j = 0; j < i; j++) {{
        const [s, a] = boxes[i], [t, b] = boxes[j];
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left), high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 1 && high > 3) bad.push(s + ' / ' + t);
      }}
    }}
    return bad;"""


def test_labels_of_the_picture_do_not_overlap_in_the_browser_s_own_letters(browser, page):
    open_page(browser, page)
    assert browser.execute_script(overlaps("#arch0 svg")) == []


def test_print_shows_everything_on_paper(browser, page):
    import base64

    open_page(browser, page)
    made = browser.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
    pdf = base64.b64decode(made["data"])
    assert pdf[:4] == b"%PDF" and pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") >= 2
