//! Quotes (facts 4.7, capture 14): links to messages become attachments with what they say.

use serde_json::{Value, json};

use crate::{
    json::{self, Doc},
    state::State,
};

/// However long a chain the setting allows: longer ones nobody reads, and they are walked through at
/// every quote.
const DEEPEST_CHAIN: i64 = 50;

/// The message that a link names by its parameter `msg`.
fn quoted_id(link: &str) -> Option<String> {
    let link = url::Url::parse(link).ok()?;
    let mut ids = link.query_pairs().filter(|(key, _)| key == "msg");
    let (_, id) = ids.next()?;
    // Twice is a list for the server, and no id.
    (ids.next().is_none() && !id.is_empty()).then(|| id.into_owned())
}

fn is_quote(attachment: &Value) -> bool {
    json::truthy(attachment.get("message_link"))
}

/// Shortens a chain of quotes to `levels`, this one counted. Only the last level of a chain loses
/// its own quotes, so the work is bounded by what was stored before.
fn shorten(attachments: &mut [Value], levels: i64) {
    let mut level: Vec<&mut Value> = attachments.iter_mut().filter(|one| is_quote(one)).collect();
    for _ in 1..levels.clamp(1, DEEPEST_CHAIN) {
        level = level
            .into_iter()
            .filter_map(|one| one.get_mut("attachments")?.as_array_mut())
            .flatten()
            .filter(|one| is_quote(one))
            .collect();
    }
    for one in level {
        if let Some(attachment) = one.as_object_mut() {
            attachment.remove("attachments");
        }
    }
}

impl State {
    /// Replaces the quotes of a message by those that its links make for its author; what a client
    /// sent as a quote never stays. Needs `urls`.
    pub fn quote(&self, uid: &str, message: &mut Doc) {
        if let Some(Value::Array(attachments)) = message.get_mut("attachments") {
            attachments.retain(|one| !is_quote(one));
        }
        let site = self.settings.text("Site_Url").to_owned();
        let mut quotes = Vec::new();
        for entry in message
            .get_mut("urls")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            let link = entry["url"].as_str().unwrap_or("").to_owned();
            if site.is_empty() || !link.contains(&site) {
                continue;
            }
            let Some(quote) = quoted_id(&link).and_then(|id| self.quotation(uid, &id, &link))
            else {
                continue;
            };
            entry["ignoreParse"] = json!(true);
            quotes.push(quote);
        }
        if !quotes.is_empty() {
            match message.get_mut("attachments") {
                Some(Value::Array(attachments)) => attachments.extend(quotes),
                _ => {
                    message.insert("attachments".to_owned(), Value::Array(quotes));
                }
            }
        }
    }

    /// The attachment that shows a message which `uid` may see.
    fn quotation(&self, uid: &str, id: &str, link: &str) -> Option<Value> {
        let quoted = self.messages.get(id)?;
        if !self.may_access(uid, quoted.rid()) {
            return None;
        }
        let doc = &quoted.doc;
        let author = &doc["u"];
        let username = author["username"].as_str().unwrap_or("");
        let alias = json::text(doc, "alias");
        let shown = if !alias.is_empty() {
            alias
        } else if self.settings.on("UI_Use_Real_Name") {
            author["name"].as_str().unwrap_or(username)
        } else {
            username
        };
        let mut nested = doc
            .get("attachments")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let levels = self.settings.number("Message_QuoteChainLimit");
        if levels < 2 {
            // No chain at all: then not even its files are shown.
            nested.clear();
        }
        shorten(&mut nested, levels - 1);
        let mut quote = json!({ "text": doc["msg"] });
        if let Some(tree) = doc.get("md") {
            quote["md"] = tree.clone();
        }
        quote["message_link"] = json!(link);
        quote["author_name"] = json!(shown);
        quote["author_icon"] = json!(format!("/avatar/{username}"));
        quote["attachments"] = json!(nested);
        quote["ts"] = doc["ts"].clone();
        Some(quote)
    }
}
