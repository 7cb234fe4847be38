//! Frames of the realtime protocol: texts in, values out, no I/O.

use serde_json::Value;

use crate::rocketchat::error::Error;

/// Reads the answer to a method that came through REST.
pub(crate) fn method_result(text: &str) -> Result<Value, Error> {
    let _ = text;
    todo!()
}
