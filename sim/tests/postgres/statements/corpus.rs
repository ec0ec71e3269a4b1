//! The corpus: scripts of statements, one topic a file, under `corpus/`.
//!
//! A statement ends with a semicolon at the end of a line. A line that begins with `--` is a comment, unless it is a
//! directive for the next statement:
//! - `--@ bind a | b | null`: the statement has parameters, given as text; it runs over the extended protocol only;
//! - `--@ volatile`: values depend on the clock or on chance; only their number, types and which are NULL is compared;
//! - `--@ batch` ... `--@ end`: the lines between go out as one message of the simple protocol.

use std::{fs, path::Path};

use crate::outcome::Rows;

/// One statement with its directives.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) line: usize,
    pub(crate) sql: String,
    pub(crate) parameters: Vec<Option<String>>,
    pub(crate) rows: Rows,
    /// Which protocols can carry it.
    pub(crate) simple: bool,
    pub(crate) extended: bool,
}

/// One file of the corpus.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) name: String,
    pub(crate) statements: Vec<Statement>,
}

/// Reads all scripts, in order of their names.
pub(crate) fn read_corpus() -> Vec<Script> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres/corpus");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    paths.sort();
    let script = |path: &Path| {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Script {
            statements: parse(&name, &text),
            name,
        }
    };
    paths.iter().map(|path| script(path)).collect()
}

/// # Panics
/// When the text is not of the form above, with file and line.
pub(crate) fn parse(name: &str, text: &str) -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut parameters: Option<Vec<Option<String>>> = None;
    let mut volatile = false;
    let mut batch = false;
    let mut sql = String::new();
    let mut first = 0;
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        if let Some(directive) = line.strip_prefix("--@ ") {
            match directive
                .split_once(' ')
                .map_or((directive, ""), |(word, rest)| (word, rest))
            {
                ("bind", values) => {
                    let value = |text: &str| (text != "null").then(|| text.to_owned());
                    parameters = Some(values.split('|').map(str::trim).map(value).collect());
                }
                ("volatile", _) => volatile = true,
                ("batch", _) => batch = true,
                ("end", _) => {
                    let sql = std::mem::take(&mut sql);
                    let rows = Rows::Ordered;
                    let (simple, extended) = (true, false);
                    statements.push(Statement {
                        line: first,
                        sql,
                        parameters: Vec::new(),
                        rows,
                        simple,
                        extended,
                    });
                    batch = false;
                }
                _ => panic!("{name}.sql:{number}: unknown directive {directive:?}"),
            }
            continue;
        }
        if line.starts_with("--") || line.trim().is_empty() {
            continue;
        }
        if sql.is_empty() {
            first = number;
        } else {
            sql.push('\n');
        }
        sql.push_str(line);
        if !batch && let Some(whole) = sql.trim_end().strip_suffix(';') {
            let rows = match (std::mem::take(&mut volatile), ends_ordered(whole)) {
                (true, _) => Rows::Volatile,
                (false, true) => Rows::Ordered,
                (false, false) => Rows::Unordered,
            };
            let (simple, extended) = (parameters.is_none(), true);
            let parameters = parameters.take().unwrap_or_default();
            statements.push(Statement {
                line: first,
                sql: whole.into(),
                parameters,
                rows,
                simple,
                extended,
            });
            sql.clear();
        }
    }
    assert!(
        sql.is_empty(),
        "{name}.sql:{first}: a statement without its semicolon"
    );
    statements
}

/// Whether an ORDER BY stands outside all parentheses, so that it orders the result itself.
fn ends_ordered(sql: &str) -> bool {
    let lower = sql.to_lowercase();
    let mut depth = 0;
    for (at, byte) in lower.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b'o' if depth == 0 && lower[at..].starts_with("order by") => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_apply_to_the_next_statement_only() {
        let text = "-- a comment\n--@ bind 1 | null\nselect $1,\n $2;\nselect 2;\n--@ batch\nselect 3;\nselect 4;\n--@ end\n";
        let statements = parse("t", text);
        assert_eq!(statements.len(), 3);
        assert_eq!(statements[0].sql, "select $1,\n $2");
        assert_eq!(statements[0].parameters, [Some("1".to_owned()), None]);
        assert!(!statements[0].simple && statements[1].simple && statements[1].parameters.is_empty());
        assert_eq!(statements[2].sql, "select 3;\nselect 4;");
        assert!(!statements[2].extended);
    }

    #[test]
    fn only_an_outer_order_by_orders_the_result() {
        assert!(ends_ordered("select a from t order by a"));
        assert!(!ends_ordered("select row_number() over (order by a) from t"));
    }
}
