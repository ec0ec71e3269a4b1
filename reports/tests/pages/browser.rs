//! Chromium without a window, driven over the DevTools protocol on a pipe.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use base64::Engine;
use serde_json::{Value, json};

/// A page in a browser of its own.
pub(crate) struct Page {
    browser: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: String,
    sent: u64,
    profile: PathBuf,
    /// One browser at a time: each is as much as a machine of two cores can do.
    _turn: MutexGuard<'static, ()>,
    /// Errors that the page's scripts made, and everything that it asked the network for.
    pub(crate) complaints: Vec<String>,
}

fn chromium() -> PathBuf {
    let named = std::env::var_os("SUMZERO_CHROMIUM").map(PathBuf::from);
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let known = [
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
    ];
    let mut found = std::env::split_paths(&folders)
        .flat_map(|folder| known.map(|name| folder.join(name)))
        .filter(|path| path.is_file());
    named.or_else(|| found.next()).expect(
        "the pages are tested in a real Chromium, and there is none: `sudo apt-get install -y chromium`, or name one in \
         SUMZERO_CHROMIUM",
    )
}

impl Page {
    /// Opens a file in a window of this width.
    pub(crate) fn open(file: &Path, width: u32) -> Page {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let profile = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chromium-{}", std::process::id()));
        // The protocol is spoken on descriptors 3 and 4.
        let mut browser = Command::new("sh")
            .args([
                "-c",
                "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null",
            ])
            .arg(chromium())
            .args([
                "--headless=new",
                "--remote-debugging-pipe",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                // Shared memory is scarce in containers.
                "--disable-dev-shm-usage",
            ])
            .arg(format!("--window-size={width},900"))
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a browser");
        let (to, from) = (
            browser.stdin.take().unwrap(),
            BufReader::new(browser.stdout.take().unwrap()),
        );
        let mut page = Page {
            browser,
            to,
            from,
            session: String::new(),
            sent: 0,
            profile,
            _turn: turn,
            complaints: Vec::new(),
        };
        let target = page.call("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attached = page.call(
            "Target.attachToTarget",
            json!({"targetId": target, "flatten": true}),
        );
        page.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        page.call("Emulation.setDeviceMetricsOverride", size);
        page.go(file);
        page
    }

    fn go(&mut self, file: &Path) {
        let url = format!("file://{}", file.display());
        let answer = self.call("Page.navigate", json!({"url": url}));
        assert!(answer["errorText"].is_null(), "{answer}");
        self.eval("new Promise(done => { const ready = () => document.readyState === 'complete' ? requestAnimationFrame(() => setTimeout(done, 30)) : setTimeout(ready, 5); ready(); })");
    }

    /// One call, and its answer.
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.sent += 1;
        let mut message = json!({"id": self.sent, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.to.write_all(message.to_string().as_bytes()).unwrap();
        self.to.write_all(b"\0").unwrap();
        loop {
            let mut bytes = Vec::new();
            self.from.read_until(0, &mut bytes).unwrap();
            assert!(
                bytes.pop().is_some(),
                "the browser ended while it was asked for {method}"
            );
            let heard: Value = serde_json::from_slice(&bytes).unwrap();
            if heard["id"] == json!(self.sent) {
                assert!(heard["error"].is_null(), "{method}: {heard}");
                return heard["result"].clone();
            }
            self.listen(&heard);
        }
    }

    fn listen(&mut self, heard: &Value) {
        let parameters = &heard["params"];
        match heard["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => self.complaints.push(parameters["exceptionDetails"].to_string()),
            "Runtime.consoleAPICalled" if parameters["type"] == "error" => {
                self.complaints.push(parameters.to_string())
            }
            "Log.entryAdded" if parameters["entry"]["level"] == "error" => {
                self.complaints.push(parameters["entry"].to_string());
            }
            "Network.requestWillBeSent" => {
                let url = parameters["request"]["url"].as_str().unwrap_or_default();
                if !url.starts_with("file://") && !url.starts_with("data:") {
                    self.complaints.push(format!("asks the network for {url}"));
                }
            }
            _ => {}
        }
    }

    /// The value of an expression in the page, after it was drawn again.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let drawn = format!(
            "(async () => {{ const value = await ({expression}); await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))); return value; }})()"
        );
        let parameters = json!({"expression": drawn, "awaitPromise": true, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", parameters);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    pub(crate) fn number(&mut self, expression: &str) -> f64 {
        self.eval(expression)
            .as_f64()
            .unwrap_or_else(|| panic!("{expression} is no number"))
    }

    pub(crate) fn text(&mut self, expression: &str) -> String {
        self.eval(expression)
            .as_str()
            .unwrap_or_else(|| panic!("{expression} is no text"))
            .to_owned()
    }

    /// Presses a key.
    pub(crate) fn press(&mut self, key: &str) {
        let text = if key.chars().count() == 1 { key } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let code = if key == "Tab" { 9 } else { 0 };
            let event =
                json!({"type": kind, "key": key, "code": key, "text": text, "windowsVirtualKeyCode": code});
            self.call("Input.dispatchKeyEvent", event);
        }
        self.eval("null");
    }

    /// `light` or `dark`, as the reader's machine would have it.
    pub(crate) fn prefer(&mut self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", features);
        self.eval("null");
    }

    /// A picture of the whole page, for people: in the folder that SUMZERO_SCREENSHOTS names, if it does.
    pub(crate) fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("SUMZERO_SCREENSHOTS") else {
            return;
        };
        let answer = self.call("Page.captureScreenshot", json!({"captureBeyondViewport": true}));
        let data = answer["data"].as_str().expect("a picture");
        let bytes = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
        fs::write(Path::new(&folder).join(format!("{name}.png")), bytes).unwrap();
    }

    /// The page on paper: how many bytes of PDF.
    pub(crate) fn print(&mut self) -> usize {
        let answer = self.call("Page.printToPDF", json!({"printBackground": true}));
        answer["data"].as_str().expect("a document").len()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.browser.kill();
        let _ = self.browser.wait();
        let _ = fs::remove_dir_all(&self.profile);
    }
}
