//! One run as one HTML file.

use std::collections::BTreeMap;

use scenarios::{properties::PROPERTIES, verdict::Conclusion};
use serde_json::{Value, json};

use crate::{
    Run, Story,
    html::{STYLE, embed, escape, fill, section, table},
    money::{self, amount},
    names::Names,
    plots,
    story::{counted, misbehaves, plain, seconds, short, tell},
    timeline::Timeline,
};

/// So many messages a page can hold and still open at once. Of more, it holds those of payments and a part of the others.
const MOST_MESSAGES: usize = 100_000;

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

fn micros(nanos: u64) -> u64 {
    nanos / 1_000
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
        let (data, sampled) = self.data();
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
        let planned = self
            .run
            .script
            .plan
            .faults
            .iter()
            .enumerate()
            .map(|(place, planned)| {
                let bites = self
                    .run
                    .verdict
                    .faults
                    .get(place)
                    .map_or(0, |report| report.bites);
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
        let script = &self.run.script;
        let spells = [("the PSP", &script.psp), ("the KYC provider", &script.kyc)];
        let spells = spells.into_iter().flat_map(|(name, spells)| {
            spells.iter().map(move |spell| {
                let what = format!("{name} {}", misbehaves(&spell.behaviour));
                vec![
                    seconds(spell.at.as_nanos() as u64),
                    short(spell.lasting),
                    escape(&what),
                    String::new(),
                ]
            })
        });
        let rows: Vec<Vec<String>> = planned.chain(spells).collect();
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

    /// What the page's script draws from, and a note if not all of it is there.
    fn data(&self) -> (Value, String) {
        let history = &self.run.history;
        let host = |name: &str| self.timeline.host(name).map_or(-1, |host| host as i64);
        let payment = |key: &str| self.names.payment(key).map_or(-1, |payment| payment as i64);
        let of_payments = self.timeline.messages_of(history, &self.names);
        let (kept, sampled) = self.sample(&of_payments);
        let places: BTreeMap<usize, usize> = kept
            .iter()
            .enumerate()
            .map(|(place, message)| (*message, place))
            .collect();
        let messages: Vec<i64> = kept
            .iter()
            .map(|place| &self.timeline.messages[*place])
            .flat_map(|message| {
                [
                    message.id as i64,
                    micros(message.at) as i64,
                    message.took.map_or(-1, |took| micros(took) as i64),
                    message.from as i64,
                    message.to as i64,
                    message.bytes as i64,
                ]
            })
            .collect();
        // What is drawn as an arrow has to be looked for as far back as it took; few take longer than this.
        let longest = self
            .timeline
            .messages
            .iter()
            .filter_map(|message| message.took)
            .max()
            .unwrap_or(0);
        let states: BTreeMap<&str, &str> = history
            .payments()
            .iter()
            .map(|payment| (payment.id.as_str(), payment.state.as_str()))
            .collect();
        let payments = self.names.payments.iter().enumerate().map(|(place, id)| {
            json!({
                "id": id,
                "name": Names::name(place),
                "state": states.get(id.as_str()).copied().unwrap_or("not in the ledger"),
                "messages": of_payments[place].iter().filter_map(|message| places.get(message)).collect::<Vec<_>>(),
            })
        });
        let end = self
            .run
            .verdict
            .measures
            .finished_at_nanos
            .max(self.run.trace.last().map_or(0, |last| last.at.as_nanos()));
        let data = json!({
            "end": micros(end).max(1),
            "subject": self.story.payment.map_or(-1, |payment| payment as i64),
            "longest": micros(longest),
            "hosts": self.timeline.hosts.iter().map(|line| json!({
                "name": line.name, "region": line.region,
                "spells": line.spells.iter().map(|(from, to, down)| json!([micros(*from), micros(*to), if *down { "down" } else { "paused" }])).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "clocks": self.timeline.hosts.iter().map(|line| {
                let off = line.clock.iter().any(|(_, skew)| *skew != 0);
                let corners = line.clock.iter().filter(|_| off).map(|(at, skew)| json!([micros(*at), skew / 1_000]));
                corners.collect::<Vec<_>>()
            }).collect::<Vec<_>>(),
            "faults": self.fault_data(),
            "messages": messages,
            "marks": self.timeline.marks.iter().map(|mark| json!({
                "t": micros(mark.at), "host": mark.host, "kind": mark.kind, "text": mark.text,
            })).collect::<Vec<_>>(),
            "telemetry": history.telemetry.iter().map(|said| {
                let id = said.fields.get("payment_id").and_then(|id| id.as_str());
                let fields = said.fields.iter().filter(|(name, _)| !["payment_id", "tenant"].contains(&name.as_str()));
                json!({
                    "t": micros(said.at_nanos), "host": host(&said.host), "level": said.level, "message": said.message,
                    "fields": fields.map(|(name, value)| format!("{name}={}", self.names.say(&plain(value)))).collect::<Vec<_>>().join(" "),
                    "payment": id.map_or(-1, payment),
                })
            }).collect::<Vec<_>>(),
            "attempts": history.attempts.iter().map(|attempt| json!({
                "t": micros(attempt.at_nanos), "took": attempt.took.as_micros() as u64, "host": host(&attempt.client),
                "gateway": attempt.gateway, "key": attempt.key, "status": attempt.status, "payment": payment(&attempt.key),
            })).collect::<Vec<_>>(),
            "effects": history.effects.iter().map(|effect| json!({
                "t": micros(effect.at_nanos), "host": host("psp"), "payment": payment(&effect.payment),
                "text": format!("the provider does it: {:?} of {}\nunder the key {}", effect.kind, amount(effect.amount, &effect.currency), self.names.say(&effect.key)),
            })).collect::<Vec<_>>(),
            "told": self.told(),
            "payments": payments.collect::<Vec<_>>(),
            "clauses": self.story.clauses.iter().enumerate().map(|(place, clause)| json!({
                "n": place + 1, "t": micros(clause.at_nanos), "host": clause.host.as_deref().map_or(-1, host),
                "text": clause.text, "decisive": clause.decisive,
            })).collect::<Vec<_>>(),
        });
        (data, sampled)
    }

    fn told(&self) -> Vec<Value> {
        let payment = |key: &str| self.names.payment(key).map_or(-1, |payment| payment as i64);
        let told = self.run.history.told.iter().map(|told| {
            json!({
                "t": micros(told.at_nanos), "key": told.key, "path": told.path, "status": told.status, "attempts": told.attempts,
                "took": told.took.as_micros() as u64, "payment": payment(&told.key), "body": self.names.say(&told.body),
            })
        });
        let unanswered = self.run.history.unanswered.iter().map(|key| {
            let attempts = self.run.history.attempts.iter().filter(|attempt| attempt.key == *key).count();
            json!({
                "t": null, "key": key, "path": "", "status": null, "attempts": attempts, "took": 0, "payment": payment(key),
                "body": "",
            })
        });
        told.chain(unanswered).collect()
    }

    fn fault_data(&self) -> Vec<Value> {
        let lines = &self.timeline.hosts;
        let planned = self
            .run
            .script
            .plan
            .faults
            .iter()
            .enumerate()
            .map(|(place, planned)| {
                let places = planned.fault.places();
                let service = match &planned.fault {
                    sumzero_sim::Fault::Service { service, .. } => serde_json::to_value(service).ok(),
                    _ => None,
                };
                let is_struck = |name: &str, region: &str| match &service {
                    // A simulated service stands on a host of its own in each Region.
                    Some(service) => service.as_str().is_some_and(|service| {
                        name.starts_with(service) && (places.contains(&region) || places.contains(&"*"))
                    }),
                    None => places.contains(&name) || places.contains(&region) || places.contains(&"*"),
                };
                let struck = lines
                    .iter()
                    .enumerate()
                    .filter(|(_, line)| is_struck(&line.name, &line.region));
                let kind = match (places.len(), &service) {
                    (_, Some(_)) => "service",
                    (2, _) => "link",
                    _ if lines.iter().any(|line| places.contains(&line.region.as_str())) => "Region",
                    _ => "host",
                };
                let end = match planned.lasting {
                    Some(lasting) => Some(planned.at + lasting),
                    None => planned.fault.is_instant().then_some(planned.at),
                };
                json!({
                    "what": planned.fault.to_string(), "kind": kind,
                    "from": planned.at.as_micros() as u64, "to": end.map(|end| end.as_micros() as u64),
                    "hosts": struck.map(|(host, _)| host).collect::<Vec<_>>(),
                    "bites": self.run.verdict.faults.get(place).map_or(0, |report| report.bites),
                })
            });
        let script = &self.run.script;
        let spells = [
            ("psp", "the PSP", &script.psp),
            ("kyc", "the KYC provider", &script.kyc),
        ];
        let spells = spells.into_iter().flat_map(|(host, name, spells)| {
            spells.iter().map(move |spell| {
                json!({
                    "what": format!("{name} {}", misbehaves(&spell.behaviour)), "kind": "provider",
                    "from": spell.at.as_micros() as u64, "to": spell.at.saturating_add(spell.lasting).as_micros() as u64,
                    "hosts": self.timeline.host(host).into_iter().collect::<Vec<_>>(), "bites": 1,
                })
            })
        });
        planned.chain(spells).collect()
    }

    /// The messages that the page holds: all, or those of payments and every so manyth of the others.
    fn sample(&self, of_payments: &[std::collections::BTreeSet<usize>]) -> (Vec<usize>, String) {
        let count = self.timeline.messages.len();
        if count <= MOST_MESSAGES {
            return ((0..count).collect(), String::new());
        }
        let mut of_any: Vec<usize> = of_payments.iter().flatten().copied().collect();
        of_any.sort_unstable();
        of_any.dedup();
        let step = count.div_ceil(MOST_MESSAGES.saturating_sub(of_any.len()).max(1));
        let kept = (0..count).filter(|place| place % step == 0 || of_any.binary_search(place).is_ok());
        let note = format!(
            "<p class=\"soft\">There were {count} messages. All those of payments are here, and one in {step} of the others.</p>"
        );
        (kept.collect(), note)
    }
}
