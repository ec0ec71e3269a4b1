//! Text in HTML, and templates.

/// The look of all pages and drawings.
pub(crate) const STYLE: &str = include_str!("../assets/style.css");

/// Text as it stands in HTML or SVG.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Data as it stands in a script of a page: nothing in it can end the script.
pub(crate) fn embed(data: &impl serde::Serialize) -> String {
    let text = serde_json::to_string(data).expect("a page's data is what JSON can hold");
    text.replace('<', "\\u003c")
}

/// A template with its `{{holes}}` filled. What is filled in is not looked at again.
pub(crate) fn fill(template: &str, holes: &[(&str, &str)]) -> String {
    let mut page = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (hole, after) = after
            .split_once("}}")
            .expect("a hole of a template of ours has an end");
        page.push_str(before);
        let filled = holes.iter().find(|(name, _)| *name == hole);
        page.push_str(
            filled
                .unwrap_or_else(|| panic!("the hole {hole} of a template is filled"))
                .1,
        );
        rest = after;
    }
    page + rest
}

/// A table. Cells are HTML; a head that begins with `#` is of numbers.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let class = |name: &str| {
        if name.starts_with('#') {
            " class=\"num\""
        } else {
            ""
        }
    };
    let cells = head.iter().map(|name| {
        format!(
            "<th scope=\"col\"{}>{}</th>",
            class(name),
            name.trim_start_matches('#')
        )
    });
    let mut table = format!(
        "<table><thead><tr>{}</tr></thead><tbody>",
        cells.collect::<String>()
    );
    for row in rows {
        let cells = head
            .iter()
            .zip(row)
            .map(|(name, cell)| format!("<td{}>{cell}</td>", class(name)));
        table += &format!("<tr>{}</tr>", cells.collect::<String>());
    }
    table + "</tbody></table>"
}

/// A part of a page.
pub(crate) fn section(id: &str, title: &str, body: &str) -> String {
    format!("<section aria-labelledby=\"h-{id}\"><h2 id=\"h-{id}\">{title}</h2>{body}</section>")
}
