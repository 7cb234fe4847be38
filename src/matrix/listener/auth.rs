//! Who may speak to the listener: whoever presents `hs_token`
//! (Application Service API, "Authorization").

use actix_web::http::header::{AUTHORIZATION, HeaderMap};

use super::reply::Refusal;
use crate::secret::Secret;

/// Looks at head and query only, so that nothing of a stranger's body is read.
///
/// The token comes in the header, from older homeservers in the query; if it is
/// presented more than once, all must be right.
pub(super) fn check(headers: &HeaderMap, query: &str, expected: &Secret) -> Result<(), Refusal> {
    let mut presented = 0;
    let mut right = true;
    for value in headers.get_all(AUTHORIZATION) {
        presented += 1;
        right &= expected.matches(bearer(value.as_bytes()).unwrap_or_default());
    }
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if key == "access_token" {
            presented += 1;
            right &= expected.matches(&value);
        }
    }
    if presented == 0 {
        Err(Refusal::MissingToken)
    } else if right {
        Ok(())
    } else {
        Err(Refusal::WrongToken)
    }
}

/// The scheme's name is not case-sensitive (RFC 9110, section 11.1).
fn bearer(value: &[u8]) -> Option<&str> {
    let (scheme, token) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_start_matches(' '))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn every_presented_token_must_be_right() {
        use Refusal::{MissingToken, WrongToken};
        let table: [(&[&str], &str, Result<(), Refusal>); 16] = [
            (&[], "", Err(MissingToken)),
            (&[], "user_id=x", Err(MissingToken)),
            (&["Bearer right"], "", Ok(())),
            (&["bearer right"], "", Ok(())),
            (&["Bearer  right"], "", Ok(())),
            (&[], "access_token=right", Ok(())),
            (&[], "access_token=%72ight", Ok(())),
            (&["Bearer right"], "access_token=right", Ok(())),
            (&["Bearer right"], "access_token=wrong", Err(WrongToken)),
            (&["Bearer wrong"], "access_token=right", Err(WrongToken)),
            (&["Bearer right", "Bearer wrong"], "", Err(WrongToken)),
            (
                &[],
                "access_token=right&access_token=wrong",
                Err(WrongToken),
            ),
            (&["Basic right"], "", Err(WrongToken)),
            (&["right"], "", Err(WrongToken)),
            (&["Bearer "], "", Err(WrongToken)),
            (&[], "access_token=", Err(WrongToken)),
        ];
        let expected = Secret::new("right");
        for (values, query, outcome) in table {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(
                check(&headers, query, &expected),
                outcome,
                "{values:?} {query:?}"
            );
        }
    }
}
