//! Plays a recording, line by line.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::read::GzDecoder;
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use rocketchat_sim::{
    Options, Sim,
    control::{HEADER, UploadEmoji},
    time,
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

use super::{
    Known,
    accounts::{BASE, Credentials, Setup},
    differences, samples, shape,
};

type Sink = SplitSink<WebSocketStream<MaybeTlsStream<TcpStream>>, Message>;

struct Socket {
    sink: Sink,
    frames: Arc<Mutex<Vec<Value>>>,
}

/// What came of a recording.
#[derive(Default)]
pub struct Outcome {
    /// REST answers compared.
    pub compared: usize,
    /// REST requests left out, by reason.
    pub skipped: BTreeMap<&'static str, usize>,
    /// Kinds of frames compared.
    pub frame_kinds: usize,
    /// Recorded frames that were compared.
    pub frames: usize,
    /// Differences as `line path text`.
    pub differences: Vec<String>,
}

/// Frames that no request asks for at a fixed time.
fn spontaneous(frame: &Value) -> bool {
    matches!(frame["msg"].as_str(), Some("ping" | "pong"))
}

/// What makes two frames of the same kind: the stream, the event without ids, what happened, and
/// the shape.
fn kind(frame: &Value) -> String {
    let event = frame["fields"]["eventName"].as_str().unwrap_or("");
    let event: Vec<&str> = event
        .split('/')
        .map(|part| {
            if super::is_id(part) || part == "GENERAL" {
                "*"
            } else {
                part
            }
        })
        .collect();
    let args = &frame["fields"]["args"];
    let what = args[0].as_str().unwrap_or("");
    let system = args[0]["t"].as_str().unwrap_or("");
    let error = frame["error"]["message"].as_str().unwrap_or("");
    let error: String = error.chars().filter(|c| !c.is_ascii_digit()).collect();
    let reason = frame["reason"].as_str().unwrap_or("");
    format!(
        "{} {} {} {what} {system} {error}{reason} {}",
        frame["msg"].as_str().unwrap_or("-"),
        frame["collection"].as_str().unwrap_or(""),
        event.join("/"),
        shape(frame)
    )
}

fn read(path: &std::path::Path) -> String {
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    text
}

pub async fn play(path: &std::path::Path, left_out: fn(&Value) -> Option<&'static str>) -> Outcome {
    let text = read(path);
    let name = path.file_name().unwrap().to_str().unwrap();
    let name = name.trim_end_matches(".jsonl.gz").to_owned();
    let mut lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    lines.iter_mut().for_each(|line| line["file"] = json!(name));
    let sim = Sim::start(Options {
        admin_password: "pw-admin".to_owned(),
        heartbeat_ms: 600_000,
        // Links in texts are those of the recorded server.
        site_url: Some("http://127.0.0.1:3100".to_owned()),
        ..Options::default()
    })
    .unwrap();
    let mut setup = Setup::new(&sim).await;
    let mut known = Known::default();
    known
        .texts
        .insert(super::accounts::ADMIN.to_owned(), setup.admin.uid.clone());
    if !name.starts_with("01") {
        setup.base(&mut known).await;
    }
    lines
        .iter()
        .for_each(|line| find_strangers(line, &mut setup));
    let began = time::parse_iso(lines[0]["started"].as_str().unwrap()).unwrap();
    let (mut outcome, mut sockets) = (Outcome::default(), HashMap::<String, Socket>::new());
    let (mut gone, mut closed) = (Vec::<String>::new(), BTreeSet::<String>::new());
    let mut remaining: HashMap<String, i64> = HashMap::new();
    prepare(&name, &lines, &setup, &mut known).await;
    known.contents = downloaded(&lines);
    let (mut expected, mut all) = (
        BTreeMap::<String, Vec<Value>>::new(),
        BTreeMap::<String, Vec<Value>>::new(),
    );
    for line in &lines {
        let at = began + line["at"].as_i64().unwrap_or(0);
        match line["kind"].as_str().unwrap() {
            "rest" => {
                let belongs = !gone.is_empty() && mentions(&line["request"], &gone);
                if let Some(reason) =
                    left_out(line).or(belongs.then_some("belongs to a request that is left out"))
                {
                    *outcome.skipped.entry(reason).or_default() += 1;
                    // What it would have made does not exist here.
                    gone.extend(made_by(&line["response"]["body"]));
                } else if line["request"]["body"]["multipart"].is_array()
                    && line["request"]["path"]
                        .as_str()
                        .is_some_and(|path| path.contains("/emoji-custom."))
                {
                    upload_emoji(line, &setup).await;
                } else {
                    cut_lines(&name, line, &setup, &mut known).await;
                    find_system_message(&name, line, &setup, &mut known).await;
                    rest(
                        line,
                        at,
                        &setup,
                        &mut known,
                        &mut outcome,
                        &name,
                        &mut remaining,
                    )
                    .await;
                }
            }
            "ddp" => {
                let conn = line["conn"].as_str().unwrap().to_owned();
                match line["dir"].as_str().unwrap() {
                    "in" if !spontaneous(&line["frame"]) => expected
                        .entry(conn)
                        .or_default()
                        .push(line["frame"].clone()),
                    "out" if closed.contains(&conn) && line["frame"]["msg"] != "connect" => {}
                    "out" => {
                        if closed.remove(&conn)
                            && let Some(socket) = sockets.remove(&conn)
                        {
                            let frames = std::mem::take(&mut *socket.frames.lock().unwrap());
                            all.entry(conn.clone()).or_default().extend(frames);
                        }
                        resolve_login(line, &setup, &mut known).await;
                        let frame = match &line["frame"] {
                            Value::String(raw) => raw.clone(),
                            frame => known.value(frame, at).to_string(),
                        };
                        send(&setup, &mut sockets, &conn, &frame).await;
                    }
                    "close" => {
                        tokio::time::sleep(Duration::from_millis(40)).await;
                        // Without a reason it was the client that closed.
                        if line["reason"] == ""
                            && line["code"] == 1000
                            && let Some(socket) = sockets.remove(&conn)
                        {
                            let frames = std::mem::take(&mut *socket.frames.lock().unwrap());
                            all.entry(conn.clone()).or_default().extend(frames);
                        }
                        closed.insert(conn);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    for (conn, socket) in sockets {
        all.entry(conn)
            .or_default()
            .extend(socket.frames.lock().unwrap().drain(..));
    }
    for (conn, frames) in expected {
        let recorded: BTreeSet<String> = frames.iter().map(kind).collect();
        let simulated: BTreeSet<String> = all.get(&conn).map_or_else(BTreeSet::new, |list| {
            list.iter()
                .filter(|one| !spontaneous(one))
                .map(kind)
                .collect()
        });
        outcome.frames += frames.len();
        outcome.frame_kinds += recorded.len();
        for one in recorded.difference(&simulated) {
            outcome
                .differences
                .push(format!("{name} frames {conn} never sent: {one}"));
        }
        for one in simulated.difference(&recorded) {
            outcome
                .differences
                .push(format!("{name} frames {conn} not recorded: {one}"));
        }
    }
    outcome
}

/// Accounts that were made before the recording began.
fn find_strangers(value: &Value, setup: &mut Setup) {
    match value {
        Value::Object(map) => {
            if let (Some(Value::String(id)), Some(Value::String(username))) =
                (map.get("_id"), map.get("username"))
            {
                let name = map.get("name").and_then(Value::as_str).unwrap_or(username);
                setup
                    .strangers
                    .entry(id.clone())
                    .or_insert_with(|| (username.clone(), name.to_owned()));
            }
            map.values().for_each(|one| find_strangers(one, setup));
        }
        Value::Array(list) => list.iter().for_each(|one| find_strangers(one, setup)),
        _ => {}
    }
}

/// Ids of messages and files in an answer.
fn made_by(body: &Value) -> Vec<String> {
    [&body["message"]["_id"], &body["file"]["_id"]]
        .iter()
        .filter_map(|id| id.as_str())
        .map(str::to_owned)
        .collect()
}

fn mentions(request: &Value, ids: &[String]) -> bool {
    let text = request.to_string();
    ids.iter().any(|id| text.contains(id))
}

/// What stood in the server before a recording began, as far as its answers show it.
async fn prepare(name: &str, lines: &[Value], setup: &Setup, known: &mut Known) {
    let as_user = |label: &str, known: &Known| {
        let recorded = BASE.iter().find(|one| one.0 == label).unwrap().4;
        Credentials {
            uid: known.texts[recorded].clone(),
            token: known.texts[&format!("<token:{label}>")].clone(),
        }
    };
    if name.starts_with("32") {
        let alice = as_user("alice", known);
        for (peer, count, text) in [
            ("bob", 3, "in the DM"),
            ("mx_dora_example.org", 1, "hello puppet"),
        ] {
            let room = setup
                .post(Some(&alice), "im.create", &json!({ "username": peer }))
                .await;
            for _ in 0..count {
                let message = json!({ "message": { "rid": room["room"]["rid"], "msg": text } });
                setup.post(Some(&alice), "chat.sendMessage", &message).await;
            }
        }
    }
    if name.starts_with("21") {
        let message = json!({ "message": { "rid": "GENERAL", "msg": "burst 7" } });
        setup
            .post(Some(&as_user("dora", known)), "chat.sendMessage", &message)
            .await;
    }
    if name.starts_with("50") {
        // Made before a DM of eight was tried; their creation was not recorded.
        for one in [
            "m05kfspr", "m1w10lrf", "m2v64sg1", "m33k19gu", "m4l9ode4", "m53dhdws", "m69wxh4f",
            "m7nrm6a9",
        ] {
            setup.make(one, one, one, &["user"]).await;
        }
    }
    if name.starts_with("51") {
        // `addAll` brings in everybody: so everybody has to be there.
        let mut others: Vec<_> = setup
            .strangers
            .iter()
            .filter(|(id, _)| !known.texts.contains_key(*id))
            .collect();
        others.sort();
        for (id, (username, shown)) in others {
            if id != "rocket.cat" && username != "rocket.cat" {
                let who = setup.make(username, username, shown, &["user"]).await;
                known.texts.insert(id.clone(), who.uid);
            }
        }
    }
    assert!(!lines.is_empty(), "{name} is empty");
}

/// Recordings leave out long runs of the same request; they are made up for here.
async fn cut_lines(name: &str, line: &Value, setup: &Setup, known: &mut Known) {
    let rid = "6b009cc991f7307ee0dac093";
    let range = match (name.starts_with("30"), line["n"].as_i64()) {
        (true, Some(4)) => 3..=4,
        (true, Some(5)) => 5..=12,
        _ => return,
    };
    for number in range {
        tokio::time::sleep(Duration::from_millis(3)).await;
        let label = if number % 2 == 0 { "bob" } else { "alice" };
        let recorded = BASE.iter().find(|one| one.0 == label).unwrap().4;
        let who = Credentials {
            uid: known.texts[recorded].clone(),
            token: known.texts[&format!("<token:{label}>")].clone(),
        };
        let message =
            json!({ "message": { "rid": known.texts[rid], "msg": format!("message {number}") } });
        let answer = setup.post(Some(&who), "chat.sendMessage", &message).await;
        if number == 4 {
            known.texts.insert(
                "K2X5agCtEwSN4shfC".to_owned(),
                answer["message"]["_id"].as_str().unwrap().to_owned(),
            );
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// Files whose text a recording shows when they are downloaded, by their SHA-256.
fn downloaded(lines: &[Value]) -> HashMap<String, String> {
    lines
        .iter()
        .filter_map(|line| line["response"]["body"].as_str())
        .map(|text| (samples::sha256(text.as_bytes()), text.to_owned()))
        .collect()
}

/// A form with parts like the recorded ones: texts as they were, files of the same kind and length.
fn form(parts: &[Value], known: &Known, at: i64) -> Vec<u8> {
    let mut body = Vec::new();
    for part in parts {
        let text = |key: &str| part[key].as_str();
        let mut head = format!(
            "--edge\r\nContent-Disposition: form-data; name=\"{}\"",
            text("name").unwrap()
        );
        if let Some(filename) = text("filename") {
            head.push_str(&format!("; filename=\"{filename}\""));
        }
        if let Some(kind) = text("content-type") {
            head.push_str(&format!("\r\nContent-Type: {kind}"));
        }
        head.push_str("\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        if let Some(value) = text("value") {
            body.extend_from_slice(known.text(value, at).as_bytes());
        } else {
            let length = part["length"].as_u64().unwrap() as usize;
            let bytes = match known.contents.get(text("sha256").unwrap()) {
                Some(content) => content.clone().into_bytes(),
                None => samples::like(text("sha256").unwrap(), length),
            };
            assert_eq!(bytes.len(), length, "{part}");
            body.extend_from_slice(&bytes);
        }
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--edge--\r\n");
    body
}

/// The order of the control API that does what an upload of an emoji did.
async fn upload_emoji(line: &Value, setup: &Setup) {
    let parts = line["request"]["body"]["multipart"].as_array().unwrap();
    let value = |name: &str| {
        parts
            .iter()
            .find(|part| part["name"] == name)
            .and_then(|part| part["value"].as_str())
    };
    let file = parts.iter().find(|part| part["name"] == "emoji").unwrap();
    // The server makes a slug of names; the control API takes them as they are stored.
    let name = match value("name").unwrap() {
        "Bad Name! \u{fc}" => "bad_name_ue",
        name => name,
    };
    let aliases: Vec<String> = value("aliases")
        .map(|list| list.replace(',', "_"))
        .into_iter()
        .collect();
    let picture = vec![b'x'; file["length"].as_u64().unwrap() as usize];
    let order = UploadEmoji {
        name: name.to_owned(),
        aliases,
        extension: file["filename"].as_str().unwrap()[2..].to_owned(),
        picture: STANDARD.encode(picture),
        previous: value("_id").map(|_| "parrot98macl".to_owned()),
    };
    let answer = setup
        .http
        .post(format!("{}/_sim/emoji", setup.url))
        .header(HEADER, "control")
        .json(&order)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "{order:?}");
}

/// A system message that a recording knows only from the socket.
async fn find_system_message(name: &str, line: &Value, setup: &Setup, known: &mut Known) {
    if !name.starts_with("90") || line["n"] != 164 {
        return;
    }
    let rid = known.texts["6b00a2a190a33ae05ece6f7b"].clone();
    let found = setup
        .http
        .get(format!("{}/_sim/rooms/{rid}/messages", setup.url))
        .header(HEADER, "control")
        .send()
        .await
        .unwrap()
        .json::<Value>()
        .await
        .unwrap();
    let list = found["messages"].as_array().unwrap();
    let joined = list.iter().find(|one| one["t"] == "uj").unwrap();
    known.texts.insert(
        "6b00a2a690a33ae05ece6f8c".to_owned(),
        joined["_id"].as_str().unwrap().to_owned(),
    );
}

async fn rest(
    line: &Value,
    at: i64,
    setup: &Setup,
    known: &mut Known,
    outcome: &mut Outcome,
    name: &str,
    remaining: &mut HashMap<String, i64>,
) {
    let (request, response) = (&line["request"], &line["response"]);
    let path = request["path"].as_str().unwrap();
    let url = match path.split_once('?') {
        Some((route, query)) => {
            let pairs: Vec<(String, String)> = reqwest::Url::parse(&format!("http://x/?{query}"))
                .unwrap()
                .query_pairs()
                .map(|(key, value)| (key.into_owned(), known.text(&value, at)))
                .collect();
            let mut url =
                reqwest::Url::parse(&format!("{}{}", setup.url, known.text(route, at))).unwrap();
            url.query_pairs_mut().extend_pairs(pairs);
            url
        }
        None => reqwest::Url::parse(&format!("{}{}", setup.url, known.text(path, at))).unwrap(),
    };
    let method =
        reqwest::Method::from_bytes(request["method"].as_str().unwrap().as_bytes()).unwrap();
    let mut call = setup.http.request(method, url);
    let headers = request["headers"].as_object().cloned().unwrap_or_default();
    let uid = headers
        .get("x-user-id")
        .and_then(Value::as_str)
        .unwrap_or("");
    let parts = request["body"]["multipart"].as_array();
    for (key, value) in &headers {
        if parts.is_some() && key == "content-type" {
            continue;
        }
        let value = value.as_str().unwrap();
        let sent = if key == "x-auth-token" {
            match setup.token(known, value, uid).await {
                Some(token) => token,
                None => known.text(value, at),
            }
        } else {
            known.text(value, at)
        };
        call = call.header(key, sent);
    }
    call = match &request["body"] {
        Value::Null => call,
        Value::String(raw) => call.body(raw.clone()),
        _ if parts.is_some() => call
            .header("content-type", "multipart/form-data; boundary=edge")
            .body(form(parts.unwrap(), known, at)),
        body => call.body(known.value(body, at).to_string()),
    };
    let left = response["headers"]["x-ratelimit-remaining"]
        .as_str()
        .and_then(|text| text.parse::<i64>().ok());
    let bucket = format!("{} {}", request["method"], path.split('?').next().unwrap());
    if let Some(left) = left {
        let before = remaining.insert(bucket, left).unwrap_or(left + 1);
        for _ in left + 1..before {
            call.try_clone().unwrap().send().await.unwrap();
        }
    }
    if path.ends_with("method.call/sendMessage") {
        // Five a second are allowed; the recording was slower.
        tokio::time::sleep(Duration::from_millis(210)).await;
    }
    if path.ends_with("/login")
        && let Some(username) = request["body"]["user"].as_str()
    {
        let unknown = setup
            .strangers
            .iter()
            .find(|(id, (name, _))| name == username && !known.texts.contains_key(*id));
        if let Some((id, (username, shown))) = unknown {
            let label = request["body"]["password"]
                .as_str()
                .unwrap_or("")
                .trim_start_matches("<password:")
                .trim_end_matches('>')
                .to_owned();
            let roles: &[&str] = if username.contains("onlybot") {
                &["bot"]
            } else {
                &["user"]
            };
            let who = setup.make(&label, username, shown, roles).await;
            known.texts.insert(id.clone(), who.uid);
        }
    }
    // Dates of neighbours have to differ, as those of a slower server do.
    tokio::time::sleep(Duration::from_millis(2)).await;
    let answer = call.send().await.unwrap();
    outcome.compared += 1;
    let n = &line["n"];
    let status = u64::from(answer.status().as_u16());
    let place = format!("{name} {n} {}", path.split('?').next().unwrap());
    if Some(status) != response["status"].as_u64() {
        outcome.differences.push(format!(
            "{place} status is {status}, recorded {}",
            response["status"]
        ));
    }
    for header in [
        "content-type",
        "allow",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-deprecation-message",
        "content-disposition",
        "content-range",
        "content-encoding",
        "cache-control",
        "location",
    ] {
        let got = answer
            .headers()
            .get(header)
            .and_then(|value| value.to_str().ok());
        let recorded = response["headers"].get(header).and_then(Value::as_str);
        // Answers of the API are not to be kept anyway.
        if header == "cache-control" && path.starts_with("/api/") {
            continue;
        }
        let compared = got.is_some() || !matches!(header, "content-type" | "allow");
        if compared && recorded.is_some() && got != recorded {
            outcome.differences.push(format!(
                "{place} header {header} is {got:?}, recorded {recorded:?}"
            ));
        }
    }
    let bytes = answer.bytes().await.unwrap();
    let recorded = &response["body"];
    if response["headers"]["content-encoding"] == "gzip" {
        let mut plain = Vec::new();
        let read = GzDecoder::new(bytes.as_ref()).read_to_end(&mut plain);
        if read.is_err() || plain.is_empty() {
            outcome
                .differences
                .push(format!("{place} is not compressed"));
        }
        return;
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    match serde_json::from_str::<Value>(&text) {
        Ok(body) if recorded.is_object() => {
            let mut body = body;
            let mut recorded = recorded.clone();
            open_message(&mut body, &mut recorded);
            known.learn(&recorded, &body);
            let mut found = Vec::new();
            differences(known, &recorded, &body, "", &mut found);
            outcome
                .differences
                .extend(found.into_iter().map(|one| format!("{place} {one}")));
        }
        _ if recorded["binary"] == true => {
            if recorded["length"] != bytes.len() {
                outcome.differences.push(format!(
                    "{place} has {} bytes, recorded {}",
                    bytes.len(),
                    recorded["length"]
                ));
            }
        }
        _ if recorded.get("text_length").is_some() => {
            if text.len() < 200_000 {
                outcome
                    .differences
                    .push(format!("{place} is a page of {} bytes", text.len()));
            }
        }
        _ => {
            if recorded.as_str().map(|one| known.text(one, at)) != Some(text.clone()) {
                outcome
                    .differences
                    .push(format!("{place} is {text:?}, recorded {recorded}"));
            }
        }
    }
}

/// The text in `message` of a method.call is a value of its own.
fn open_message(body: &mut Value, recorded: &mut Value) {
    if let (Some(one), Some(other)) = (body["message"].as_str(), recorded["message"].as_str())
        && let (Ok(one), Ok(other)) = (
            serde_json::from_str::<Value>(one),
            serde_json::from_str::<Value>(other),
        )
    {
        body["message"] = one;
        recorded["message"] = other;
    }
}

/// A socket of an account that is not one of the six needs its token made.
async fn resolve_login(line: &Value, setup: &Setup, known: &mut Known) {
    let Some(placeholder) = line["frame"]["params"][0]["resume"].as_str() else {
        return;
    };
    let label = placeholder
        .trim_start_matches('<')
        .split([':', '>'])
        .nth(1)
        .unwrap_or("");
    let found = setup
        .strangers
        .iter()
        .find(|(_, (username, _))| username == label)
        .map(|(id, _)| id.clone());
    if let Some(id) = found {
        setup.token(known, placeholder, &id).await;
    }
}

async fn send(setup: &Setup, sockets: &mut HashMap<String, Socket>, conn: &str, frame: &str) {
    if !sockets.contains_key(conn) {
        let url = format!("{}/websocket", setup.url.replace("http", "ws"));
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let (sink, mut stream) = socket.split();
        let frames = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&frames);
        tokio::spawn(async move {
            while let Some(Ok(message)) = stream.next().await {
                if let Message::Text(text) = message {
                    kept.lock().unwrap().push(
                        serde_json::from_str(&text).unwrap_or(json!({ "raw": text.to_string() })),
                    );
                }
            }
        });
        sockets.insert(conn.to_owned(), Socket { sink, frames });
    }
    if frame.contains("\"sendMessage\"") {
        tokio::time::sleep(Duration::from_millis(210)).await;
    }
    let socket = sockets.get_mut(conn).unwrap();
    let before = socket.frames.lock().unwrap().len();
    if socket.sink.send(Message::text(frame)).await.is_err() {
        return;
    }
    // What is answered is waited for, so that the next line finds the state that the recording had.
    let parsed: Value = serde_json::from_str(frame).unwrap_or(Value::Null);
    if !matches!(
        parsed["msg"].as_str(),
        Some("connect" | "method" | "sub" | "unsub")
    ) {
        return;
    }
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        let answered =
            socket.frames.lock().unwrap()[before..]
                .iter()
                .any(|one| match one["msg"].as_str() {
                    Some("connected" | "failed" | "error") => true,
                    Some("result") => one["id"] == parsed["id"],
                    Some("ready") => one["subs"][0] == parsed["id"],
                    Some("nosub") => one["id"] == parsed["id"],
                    _ => false,
                });
        if answered {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
