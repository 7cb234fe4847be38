//! Requests of a person's client, and what to show when one goes wrong.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use crate::process::tail;

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; a string when it was not JSON.
    pub body: Value,
}

/// Log files whose ends are shown when something waited for does not come.
#[derive(Debug, Clone, Default)]
pub struct Evidence(Arc<Vec<(String, PathBuf)>>);

impl Evidence {
    /// Names of logs and where they are.
    pub fn new(logs: Vec<(String, PathBuf)>) -> Self {
        Self(Arc::new(logs))
    }

    /// Adds the ends of the logs to an error.
    ///
    /// # Errors
    /// The given one, with more text.
    pub fn explain<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| {
            let logs = self
                .0
                .iter()
                .map(|(name, path)| format!("\n--- end of the log of {name}\n{}", tail(path, 40)))
                .collect::<String>();
            // One flat text: `anyhow` would print the context first and bury what
            // was waited for under the logs.
            anyhow::anyhow!("{error:#}{logs}")
        })
    }
}

/// A base address with the headers that say who asks.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    client: Client,
    base: String,
    headers: HeaderMap,
}

impl Api {
    pub(crate) fn new(base: &str, headers: &[(&'static str, &str)]) -> Result<Self> {
        let headers = headers
            .iter()
            .map(|(name, value)| {
                let mut value = HeaderValue::from_str(value)?;
                value.set_sensitive(true);
                Ok((HeaderName::from_static(name), value))
            })
            .collect::<Result<HeaderMap>>()?;
        let client = Client::builder()
            .timeout(Duration::from_secs(120))
            .no_proxy()
            .build()?;
        Ok(Self {
            client,
            base: base.trim_end_matches('/').to_owned(),
            headers,
        })
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Sends JSON, returns whatever comes back.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer> {
        let mut request = self.prepare(method, path)?;
        if let Some(body) = body {
            request = request.json(body);
        }
        answer(request).await
    }

    /// Sends JSON; anything but success is an error that tells it all.
    pub(crate) async fn json(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        let answer = self.request(method, path, body).await?;
        if !(200..300).contains(&answer.status) {
            bail!("{method} {path}: {} {}", answer.status, answer.body);
        }
        Ok(answer.body)
    }

    /// Sends bytes as they are.
    pub(crate) async fn upload(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        bytes: Vec<u8>,
    ) -> Result<Answer> {
        let request = self.prepare(method, path)?;
        // Left out of an empty request otherwise, which Synapse refuses.
        let request = request.header(CONTENT_LENGTH, bytes.len());
        answer(request.header(CONTENT_TYPE, content_type).body(bytes)).await
    }

    /// Fetches bytes as they are.
    pub(crate) async fn download(&self, path: &str) -> Result<(StatusCode, HeaderMap, Vec<u8>)> {
        let response = self.prepare("GET", path)?.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok((status, headers, response.bytes().await?.to_vec()))
    }

    fn prepare(&self, method: &str, path: &str) -> Result<reqwest::RequestBuilder> {
        let method = Method::from_bytes(method.as_bytes())?;
        let url = format!("{}{path}", self.base);
        Ok(self
            .client
            .request(method, url)
            .headers(self.headers.clone()))
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Answer> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let text = response.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Answer { status, body })
}

/// A string inside an answer, or an error that shows the whole answer.
pub(crate) fn string_at(value: &Value, pointer: &str) -> Result<String> {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .with_context(|| format!("no {pointer} in {value}"))
}

/// One path segment or query value, escaped.
pub(crate) fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn ids_fit_into_a_path() {
        assert_eq!(escape("#a b:c.d"), "%23a%20b%3Ac.d");
        assert_eq!(escape("é"), "%C3%A9");
    }
}
