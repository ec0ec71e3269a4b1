//! One run as one HTML file.

use std::collections::BTreeMap;

use scenarios::{properties::PROPERTIES, verdict::Conclusion};

use crate::{
    Run, Story,
    data::Data,
    html::{STYLE, embed, escape, fill, section, table},
    money::{self, amount},
    names::Names,
    plots,
    providers::spells,
    story::{asked, counted, seconds, short, tell},
    timeline::Timeline,
};

/// Renders a run.
pub fn run_page(run: &Run) -> String {
    let names = Names::new(&run.history);
    let timeline = Timeline::new(&run.verdict, &run.trace);
    let story = tell(run, &names, &timeline);
    let page = Page {
        run,
        names,
        timeline,
        story,
    };
    page.render()
}

struct Page<'a> {
    run: &'a Run,
    names: Names,
    timeline: Timeline,
    story: Story,
}

impl Page<'_> {
    fn render(&self) -> String {
        let verdict = &self.run.verdict;
        let measures = &verdict.measures;
        let (conclusion, words) = match verdict.conclusion {
            Conclusion::Held => ("held", "held"),
            Conclusion::Violated(_) => ("violated", "violated"),
            Conclusion::Unknown(_) => ("unknown", "could not tell"),
        };
        let figures = format!(
            "{} of true time, {} events, {} confirmed, p99 {}",
            seconds(measures.finished_at_nanos),
            measures.events,
            counted(measures.confirmed, "request"),
            short(std::time::Duration::from_nanos(measures.p99_nanos))
        );
        let data = Data {
            run: self.run,
            names: &self.names,
            timeline: &self.timeline,
            story: &self.story,
        };
        let (data, sampled) = data.all();
        let footer = format!(
            "Times are true time since the world began, which no host can see. Trace hash <code>{}</code>: the same for \
             every run of this build and plan.",
            verdict.trace_hash.as_deref().unwrap_or("none")
        );
        let seed = verdict.seed.to_string();
        fill(
            include_str!("../assets/run.html"),
            &[
                (
                    "title",
                    &format!("{} seed {seed}: {words}", escape(&verdict.scenario)),
                ),
                ("style", STYLE),
                ("conclusion", conclusion),
                ("conclusion-words", words),
                ("scenario", &escape(&verdict.scenario)),
                ("seed", &seed),
                ("figures", &escape(&figures)),
                ("headline", &escape(&self.story.headline)),
                ("story", &self.clauses()),
                ("sampled", &sampled),
                ("violations", &self.violations()),
                ("faults", &self.faults()),
                ("money", &self.money()),
                ("clocks", &self.clocks()),
                ("plots", &self.plots()),
                ("plan", &self.plan()),
                ("commands", &self.commands()),
                ("footer", &footer),
                ("data", &embed(&data)),
                ("script", include_str!("../assets/run.js")),
            ],
        )
    }

    fn clauses(&self) -> String {
        let mut html = String::new();
        if !self.story.clauses.is_empty() {
            let items = self.story.clauses.iter().enumerate().map(|(place, clause)| {
                format!(
                    "<li{}><button type=\"button\" data-clause=\"{place}\"><span class=\"n\">{}</span><time>{}</time><b>{}</b><span>{}</span></button></li>",
                    if clause.decisive { " class=\"decisive\"" } else { "" },
                    place + 1,
                    seconds(clause.at_nanos),
                    escape(clause.host.as_deref().unwrap_or("")),
                    escape(&clause.text)
                )
            });
            html += &section(
                "why",
                "Because",
                &format!("<ol class=\"story\">{}</ol>", items.collect::<String>()),
            );
        }
        html
    }

    fn violations(&self) -> String {
        let mut html = String::new();
        let violations = self.run.verdict.violations();
        if !violations.is_empty() {
            let rows: Vec<Vec<String>> = violations
                .iter()
                .map(|violation| {
                    let meaning = PROPERTIES
                        .iter()
                        .find(|property| property.name == violation.property);
                    vec![
                        format!("<code>{}</code>", escape(&violation.fingerprint())),
                        escape(&self.names.say(&violation.evidence)),
                        format!(
                            "<span class=\"soft\">{}</span>",
                            escape(meaning.map_or("", |property| property.meaning))
                        ),
                    ]
                })
                .collect();
            let list = table(&["failure", "what shows it", "what should be true"], &rows);
            html += &section(
                "violations",
                "What does not hold",
                &format!("<div class=\"scroll\" tabindex=\"0\">{list}</div>"),
            );
        }
        html
    }

    fn faults(&self) -> String {
        let planned = self.run.planned().map(|(planned, bites)| {
            let lasting = match planned.lasting {
                Some(lasting) => short(lasting),
                None if planned.fault.is_instant() => "an instant".to_owned(),
                None => "to the end".to_owned(),
            };
            vec![
                seconds(planned.at.as_nanos() as u64),
                lasting,
                escape(&planned.fault.to_string()),
                match bites {
                    0 => "<span class=\"warn\">never</span>".to_owned(),
                    bites => bites.to_string(),
                },
            ]
        });
        let spells = spells(&self.run.script).map(|(provider, spell)| {
            vec![
                seconds(spell.at.as_nanos() as u64),
                short(spell.lasting),
                escape(&provider.misbehaves(&spell.behaviour)),
                String::new(),
            ]
        });
        let asked = asked(&self.run.script).map(|(at, lasting, what)| {
            vec![
                seconds(at.as_nanos() as u64),
                lasting.map_or_else(|| "an instant".to_owned(), short),
                escape(&what),
                String::new(),
            ]
        });
        let rows: Vec<Vec<String>> = planned.chain(spells).chain(asked).collect();
        let body = match rows.is_empty() {
            true => "<p>None.</p>".to_owned(),
            false => table(&["#from", "#lasting", "what", "#bit"], &rows),
        };
        section("faults", "What went wrong with the world", &body)
    }

    fn money(&self) -> String {
        let Some(books) = &self.run.history.books else {
            return section(
                "money",
                "The money",
                "<p>The ledger could not be read in the end.</p>",
            );
        };
        let accounts = money::account_names(books);
        let rows: Vec<Vec<String>> = books
            .accounts
            .iter()
            .map(|account| {
                vec![
                    escape(&accounts[account.id.as_str()]),
                    amount(account.balance, &account.currency),
                    amount(account.pending, &account.currency),
                    format!("<code class=\"soft\">{}</code>", escape(&account.id)),
                ]
            })
            .collect();
        let list = table(&["account", "#balance", "#set aside", "id"], &rows);
        let drawings: String = plots::taken(&self.run.history)
            .iter()
            .map(|plot| plot.inline())
            .collect();
        let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
        for account in &books.accounts {
            *sums.entry(&account.currency).or_default() += account.balance;
        }
        let sums = sums.into_iter().map(|(currency, sum)| match sum {
            0 => format!("<b class=\"good\">{}</b>", amount(sum, currency)),
            _ => format!("<b class=\"bad\">{}</b>", amount(sum, currency)),
        });
        let body = format!(
            "<p>All accounts together: {}. What the provider really took, less what it gave back, must end where the ledger \
             says.</p><div class=\"two\"><div class=\"scroll\" tabindex=\"0\">{list}</div><div>{drawings}</div></div>\
             <h3>Transfers, with the balances after each</h3>{}",
            sums.collect::<Vec<_>>().join(", "),
            self.transfers(&accounts)
        );
        section("money", "The money", &body)
    }

    /// Legs in the order of their transfers, with running balances and the running sum of all accounts.
    fn transfers(&self, accounts: &BTreeMap<&str, String>) -> String {
        let mut rows = String::new();
        let mut balances: BTreeMap<&str, i64> = BTreeMap::new();
        let known = self.run.history.books.iter().flat_map(|books| &books.accounts);
        let currencies: BTreeMap<&str, &str> =
            known.map(|account| (&*account.id, &*account.currency)).collect();
        let transfers = self.run.history.books.iter().flat_map(|books| &books.transfers);
        for transfer in transfers {
            let payment = self.names.payment(&transfer.payment);
            for leg in &transfer.legs {
                if leg.phase == "posted" {
                    *balances.entry(&leg.debit).or_default() -= leg.amount;
                    *balances.entry(&leg.credit).or_default() += leg.amount;
                }
                let of_currency = balances
                    .iter()
                    .filter(|(account, _)| currencies.get(*account) == Some(&&*leg.currency));
                let sum: i64 = of_currency.map(|(_, balance)| balance).sum();
                let account = |id: &str| {
                    let name = accounts.get(id).map_or(id, |name| name.as_str());
                    let balance = balances.get(id).copied().unwrap_or_default();
                    format!(
                        "{} <span class=\"soft\">{}</span>",
                        escape(name),
                        amount(balance, &leg.currency)
                    )
                };
                rows += &format!(
                    "<tr data-payment=\"{}\"><td class=\"num\">{:.3} s</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"num\">{}</td><td class=\"num {}\">{}</td></tr>",
                    payment.map_or(-1, |place| place as i64),
                    money::since_start(transfer.posted_at_nanos) as f64 / 1e9,
                    payment.map(Names::name).unwrap_or_default(),
                    escape(&transfer.step),
                    escape(&leg.phase),
                    account(&leg.debit),
                    account(&leg.credit),
                    amount(leg.amount, &leg.currency),
                    if sum == 0 { "good" } else { "bad" },
                    amount(sum, &leg.currency)
                );
            }
        }
        format!(
            "<div class=\"scroll\" tabindex=\"0\"><table id=\"transfers\"><thead><tr><th scope=\"col\" class=\"num\">booked at</th><th scope=\"col\">payment</th>\
             <th scope=\"col\">step</th><th scope=\"col\">phase</th><th scope=\"col\">from</th><th scope=\"col\">to</th>\
             <th scope=\"col\" class=\"num\">amount</th><th scope=\"col\" class=\"num\">sum of all accounts</th></tr></thead><tbody>{rows}</tbody></table></div>"
        )
    }

    fn clocks(&self) -> String {
        let body = match plots::clocks_of(&self.run.script, &self.timeline) {
            Some(plot) => plot.inline(),
            None => "<p>Every clock was right all the time.</p>".to_owned(),
        };
        section("clocks", "Each host’s clock against the true time", &body)
    }

    fn plots(&self) -> String {
        let plots = [
            plots::availability(self.run),
            plots::latency(self.run),
            plots::lag(&self.run.script, &self.timeline),
        ];
        let shown = plots
            .iter()
            .filter(|plot| plot.series.iter().any(|series| !series.points.is_empty()));
        let body: String = shown.map(|plot| plot.inline()).collect();
        section("plots", "Service", &format!("<div class=\"two\">{body}</div>"))
    }

    fn plan(&self) -> String {
        let plan = escape(&self.run.script.to_json());
        let body = format!(
            "<details><summary>Every value that was drawn</summary><pre tabindex=\"0\">{plan}</pre></details>"
        );
        section("plan", "The plan", &body)
    }

    fn commands(&self) -> String {
        let (scenario, seed) = (&self.run.verdict.scenario, self.run.verdict.seed);
        let mut commands = vec![(
            "Run it again",
            format!("sumzero run {scenario} --seed {seed} --plan plan.json"),
        )];
        if let Some(violation) = self.run.verdict.violations().first() {
            let fingerprint = violation.fingerprint();
            commands.push((
                "Find the shortest story",
                format!("sumzero shrink --plan plan.json --failure {fingerprint} --out smallest"),
            ));
            commands.push((
                "Find the commit",
                format!("sumzero bisect {scenario} --seed {seed} --good REV --bad HEAD"),
            ));
        }
        let rows = commands.into_iter().map(|(what, command)| {
            format!(
                "<h3>{what}</h3><div class=\"command\"><pre>{}</pre><button class=\"copy\" type=\"button\">Copy</button></div>",
                escape(&command)
            )
        });
        section("commands", "What next", &rows.collect::<String>())
    }
}
