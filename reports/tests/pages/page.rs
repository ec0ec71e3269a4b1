//! The pages of a run and of a campaign, and what else is drawn.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use reports::{Run, campaign_page, finding, plots, run_page, story};
use scenarios::{record::Record, survey::SurveyLine, verdict::Conclusion};
use sumzero_sim::{campaign::Fate, trace::Event};

use crate::{
    browser::Page,
    records::{folder, run, violated},
};

/// A page in a folder of its own: tests run side by side.
fn page() -> PathBuf {
    static PAGES: AtomicU32 = AtomicU32::new(0);
    let number = PAGES.fetch_add(1, Ordering::Relaxed);
    let file = folder(&format!("page-{number}")).join("report.html");
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
            .contains("clock of gateway-us-east-1-1 off by -6s")
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
    ] {
        assert!(told.headline.contains(part), "{part}: {}", told.headline);
    }
    let currencies = [" EUR", " JPY"];
    assert!(
        currencies.iter().any(|currency| told.headline.contains(currency)),
        "{}",
        told.headline
    );
    assert!(told.clauses.iter().filter(|clause| clause.decisive).count() >= 2);
    assert!(told.clauses.is_sorted_by_key(|clause| clause.at_nanos));
}

#[test]
fn the_variants_of_a_score_can_be_drawn() {
    let caught = [("C02".to_owned(), 3), ("C11".to_owned(), 120)];
    let drawn = plots::seeds_to_detection(&caught).file();
    assert!(
        drawn.contains("C11") && drawn.matches("<rect").count() >= 2,
        "{drawn}"
    );
}

/// A run of 100,000 events: the same one, over and over.
#[test]
fn a_hundred_thousand_events_open_within_two_seconds() {
    let mut run = run();
    let (once, round) = (run.trace.clone(), run.verdict.measures.finished_at_nanos);
    for time in 1.. {
        if run.trace.len() >= 100_000 {
            break;
        }
        let numbers = run.trace.len() as u64;
        run.trace.extend(once.iter().map(|event| Event {
            id: event.id + numbers,
            at: event.at + Duration::from_nanos(round * time),
            cause: if event.cause == 0 {
                0
            } else {
                event.cause + numbers
            },
            ..event.clone()
        }));
        run.verdict.measures.finished_at_nanos = round * (time + 1);
    }
    let file = folder("large").join("report.html");
    fs::write(&file, run_page(&run)).unwrap();
    // From the start of the navigation to the first drawing; the best of four times, since the machine has other work.
    let mut page = Page::open(&file, 1280);
    let mut opened = page.number("performance.now()");
    for _ in 0..3 {
        if opened < 2_000.0 {
            break;
        }
        page = Page::open(&file, 1280);
        opened = opened.min(page.number("performance.now()"));
    }
    println!("opened after {opened:.0} ms");
    assert!(opened < 2_000.0, "{opened} ms");
    let messages = page.number("messages");
    assert!(messages > 30_000.0, "{messages}");
    // The whole of it, the best of five times since the machine has other work, and then a part in which single messages can be told apart.
    let took = page.number("(() => { filter(-1); view.from = 0; view.to = D.end; let least = Infinity; for (let time = 0; time < 5; time++) { const t = performance.now(); draw(); least = Math.min(least, performance.now() - t); } return least; })()");
    assert!(took < 500.0, "{took} ms");
    assert!(page.number("document.querySelectorAll('#diagram *').length") < 12_000.0);
    let single = "document.querySelectorAll('#diagram .message').length";
    assert_eq!(page.number(single), 0.0);
    // Where to look is taken from the data: when a world has messages is its own affair. What is shown is drawn with the next
    // frame, for which each evaluation waits.
    let mut all = 0.0;
    for part in [1, 2, 3] {
        page.eval(&format!("(() => {{ const t = D.messages[Math.floor(messages * {part} / 4) * M.STRIDE + M.AT]; show(t - .1e6, t + .1e6); }})()"));
        let shown = page.number(single);
        assert!(shown > 0.0, "quarter {part}: {shown}");
        assert_eq!(
            page.number("document.querySelectorAll('#diagram .dense').length"),
            0.0
        );
        all += shown;
    }
    assert!(all > 10.0, "{all}");
    assert_eq!(page.complaints, Vec::<String>::new());
}

#[test]
fn what_is_missing_cut_off_or_of_another_version_is_named() {
    let broken = |name: &str, change: &dyn Fn(&std::path::Path)| {
        let folder = folder(name);
        for file in ["plan.json", "history.json", "verdict.json", "trace.jsonl"] {
            fs::copy(violated().folder().join(file), folder.join(file)).unwrap();
        }
        change(&folder);
        Run::read(&Record::new(folder)).unwrap_err().to_string()
    };
    let cut = |file: &'static str| {
        move |folder: &std::path::Path| {
            let text = fs::read_to_string(folder.join(file)).unwrap();
            fs::write(folder.join(file), &text[..text.len() - 40]).unwrap();
        }
    };
    let missing = broken("missing", &|folder| {
        fs::remove_file(folder.join("history.json")).unwrap()
    });
    assert!(
        missing.contains("history.json") && missing.contains("sumzero run"),
        "{missing}"
    );
    let history = broken("cut-history", &cut("history.json"));
    assert!(
        history.contains("history.json") && history.contains("interrupted"),
        "{history}"
    );
    let trace = broken("cut-trace", &cut("trace.jsonl"));
    assert!(
        trace.contains("trace.jsonl") && trace.contains("line ") && trace.contains("interrupted"),
        "{trace}"
    );
    let other = broken("other", &|folder| {
        let text = fs::read_to_string(folder.join("plan.json")).unwrap();
        fs::write(
            folder.join("plan.json"),
            text.replace("\"format\": 1", "\"format\": 99"),
        )
        .unwrap();
    });
    assert!(other.contains("format 99"), "{other}");
    let two = broken("two", &|folder| {
        let text = fs::read_to_string(folder.join("plan.json")).unwrap();
        fs::write(
            folder.join("plan.json"),
            text.replace("\"seed\": 4", "\"seed\": 5"),
        )
        .unwrap();
    });
    assert!(two.contains("seed 4") && two.contains("seed 5"), "{two}");
}

#[test]
fn a_finding_stands_alone_in_markdown() {
    let mut unsound = run();
    unsound.script.variant = Some("reissue-past-the-window".to_owned());
    let found = finding(&unsound, "forgetful-psp");
    for part in [
        "# forgetful-psp",
        "was captured twice",
        "(forgetful-psp.svg)",
        "captures/done-twice",
        "--features as-written",
        "--plan reports/findings/forgetful-psp.json",
    ] {
        assert!(found.markdown.contains(part), "{part}: {}", found.markdown);
    }
    let folder = folder("finding");
    let file = folder.join("forgetful-psp.svg");
    fs::write(&file, &found.drawing).unwrap();
    // The drawing opens by itself and holds messages, faults and numbers.
    let mut page = Page::open(&file, 1000);
    for class in [".message.mine", ".bar", ".number", ".life"] {
        assert!(
            page.number(&format!("document.querySelectorAll('{class}').length")) > 0.0,
            "{class}"
        );
    }
    page.picture("finding");
    drop(page);
    for (name, plot) in plots::all(&run()) {
        let file = folder.join(format!("{name}.svg"));
        fs::write(&file, plot.file()).unwrap();
        let mut page = Page::open(&file, 760);
        assert!(
            page.number("document.querySelectorAll('.series, .dot').length") > 0.0,
            "{name}"
        );
        page.picture(&format!("plot-{name}"));
        assert_eq!(page.complaints, Vec::<String>::new());
    }
}

#[test]
fn a_campaign_opens_too() {
    let violated = run().verdict;
    let lines: Vec<SurveyLine> = (0..60)
        .map(|seed| {
            let mut verdict = violated.clone();
            verdict.seed = seed;
            verdict.scenario = ["lost-answers", "clocks"][seed as usize % 2].to_owned();
            verdict.measures.p99_nanos += seed * 10_000_000;
            if seed % 3 > 0 {
                verdict.conclusion = Conclusion::Held;
            }
            SurveyLine {
                scenario: verdict.scenario.clone(),
                seed,
                fate: Fate::Finished(verdict),
                took_ms: 900 + seed,
            }
        })
        .collect();
    let file = folder("campaign").join("report.html");
    fs::write(&file, campaign_page(&lines, Some(30.0))).unwrap();
    let mut page = Page::open(&file, 1280);
    assert!(
        page.text("document.querySelector('h1').textContent")
            .contains("in 20 of 60 seeds")
    );
    assert!(page.number("document.querySelectorAll('.plot rect').length") > 10.0);
    page.picture("campaign");
    page.prefer("dark");
    page.picture("campaign-dark");
    assert!(page.number("document.documentElement.scrollWidth") <= 1280.0);
    assert_eq!(page.complaints, Vec::<String>::new());
}
