//! The page of one run.

use std::{fs, path::PathBuf, time::Instant};

use reports::{run_page, story};

use crate::{
    browser::Page,
    records::{folder, run, violated},
};

fn page() -> PathBuf {
    let file = folder("page").join("report.html");
    fs::write(&file, run_page(&run())).unwrap();
    file
}

#[test]
fn it_opens_draws_and_can_be_read_with_a_keyboard() {
    let mut page = Page::open(&page(), 1280);
    let headline = page.text("document.querySelector('h1').textContent");
    assert!(headline.contains("was captured twice"), "{headline}");
    page.picture("light");

    // It opens on the evidence: the payment is chosen, its messages and the numbered events are drawn.
    let subject = page.text("document.body.dataset.payment");
    assert_eq!(subject.len(), 36);
    assert!(page.number("document.querySelectorAll('#diagram .message.mine').length") > 4.0);
    assert!(page.number("document.querySelectorAll('#diagram .number').length") >= 2.0);
    assert!(page.number("document.querySelectorAll('#diagram .effect').length") >= 2.0);
    let mine = page.number("document.querySelectorAll('#transfers tbody tr:not([hidden])').length");
    let told = page.number("document.querySelectorAll('#told tbody tr').length");

    // All payments, the whole run: more of everything.
    page.eval("(() => { const s = document.getElementById('payment'); s.value = ''; s.dispatchEvent(new Event('change')); })()");
    assert_eq!(page.text("document.body.dataset.payment"), "");
    assert!(page.number("document.querySelectorAll('#transfers tbody tr:not([hidden])').length") > mine);
    assert!(page.number("document.querySelectorAll('#told tbody tr').length") > told);
    let hosts = page.number("view.rows.length");
    assert!(hosts >= 12.0, "{hosts}");
    assert!(page.number("document.querySelectorAll('#diagram .dense').length") > 50.0);
    assert!(
        page.text("document.getElementById('diagram').textContent")
            .contains("clock of gateway-1 off by -6s")
    );
    page.picture("all");

    // Another payment: only its own.
    page.eval("(() => { const s = document.getElementById('payment'); s.value = '2'; s.dispatchEvent(new Event('change')); })()");
    let other = page.text("document.body.dataset.payment");
    assert_ne!(other, subject);
    let of_others = "[...document.querySelectorAll('#told tbody tr')].filter(row => row.cells[2].textContent !== 'payment 3').length";
    assert_eq!(page.number(of_others), 0.0);

    // With the keyboard alone: to the diagram, in, along, from event to event.
    page.eval("document.getElementById('others').focus()");
    page.press("Tab");
    assert_eq!(page.text("document.activeElement.id"), "diagram");
    let span = "view.to - view.from";
    let before = page.number(span);
    page.press("+");
    assert!(page.number(span) < before);
    page.press("0");
    assert_eq!(page.number(span), page.number("D.end"));
    page.press("n");
    let first = page.text("document.getElementById('detail').textContent");
    page.press("n");
    let second = page.text("document.getElementById('detail').textContent");
    assert!(first.contains(" s on ") && first != second, "{first}\n{second}");
    // Everything that can be pressed has a name and can be reached.
    let nameless = "[...document.querySelectorAll('button, select, input')].filter(e => e.tabIndex < 0 || !(e.ariaLabel || e.textContent.trim() || e.labels?.length)).length";
    assert_eq!(page.number(nameless), 0.0);
    assert_eq!(page.complaints, Vec::<String>::new());
}

#[test]
fn the_pointer_finds_the_event_below_it() {
    let mut page = Page::open(&page(), 1280);
    let place = page.eval("(() => { const item = view.items.find(item => item.line && item.mine), box = document.getElementById('diagram').getBoundingClientRect(); return { x: box.left + item.x, y: box.top + item.y + scrollY }; })()");
    page.eval("document.getElementById('diagram').scrollIntoView()");
    let up = page.number("scrollY");
    let at =
        serde_json::json!({"type": "mouseMoved", "x": place["x"], "y": place["y"].as_f64().unwrap() - up});
    page.call("Input.dispatchMouseEvent", at);
    assert_eq!(page.eval("document.getElementById('tip').hidden"), false);
    let tip = page.text("document.getElementById('tip').textContent");
    assert!(tip.contains(" s on "), "{tip}");
    // An event of the story leads to its place in the diagram.
    page.eval("document.querySelector('.story .decisive button').click()");
    assert!(
        page.text("document.getElementById('detail').textContent")
            .contains("evidence")
    );
    assert_eq!(
        page.number("document.querySelectorAll('#diagram .chosen').length"),
        1.0
    );
    assert_eq!(page.complaints, Vec::<String>::new());
}

#[test]
fn it_reads_in_the_dark_in_the_light_and_on_paper() {
    let mut page = Page::open(&page(), 1280);
    let ground = "getComputedStyle(document.body).backgroundColor";
    // WCAG's contrast of the text and of what is soft.
    let contrast = "(() => { const parse = c => { const n = document.createElement('canvas').getContext('2d'); n.fillStyle = c; n.fillRect(0, 0, 1, 1); return [...n.getImageData(0, 0, 1, 1).data].slice(0, 3).map(v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); }; const light = c => { const [r, g, b] = parse(c); return .2126 * r + .7152 * g + .0722 * b; }; const paper = light(getComputedStyle(document.body).backgroundColor); return Math.min(...['.soft', 'h1', '.story time', 'td'].map(s => light(getComputedStyle(document.querySelector(s)).color)).map(ink => (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05))); })()";
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        page.prefer(scheme);
        grounds.push(page.text(ground));
        let least = page.number(contrast);
        assert!(least >= 4.5, "{scheme}: {least}");
    }
    assert_ne!(grounds[0], grounds[1]);
    page.picture("dark");
    page.eval("document.getElementById('theme').click()");
    assert_eq!(page.text(ground), grounds[0]);
    assert!(page.print() > 20_000);
    // Nothing is wider than the window.
    assert!(page.number("document.documentElement.scrollWidth") <= 1280.0);
    assert_eq!(page.complaints, Vec::<String>::new());
}

#[test]
fn the_sentence_names_who_did_what_when_by_whose_clock() {
    let run = run();
    let told = story(&run);
    println!("{}", told.headline);
    for part in [
        "twice",
        "gateway-",
        "again at",
        "the provider did it",
        "forgotten the key",
        " EUR",
    ] {
        assert!(told.headline.contains(part), "{part}: {}", told.headline);
    }
    assert!(told.clauses.iter().filter(|clause| clause.decisive).count() >= 2);
    assert!(told.clauses.is_sorted_by_key(|clause| clause.at_nanos));
}

#[test]
fn one_run_is_rendered_within_a_second() {
    let started = Instant::now();
    let page = run_page(&reports::Run::read(violated()).unwrap());
    println!("{:?} for {} bytes", started.elapsed(), page.len());
}
