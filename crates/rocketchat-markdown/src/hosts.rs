//! Whether an address that nobody marked as one is linked: only when its host ends in
//! a public suffix, is `localhost`, or is among the workspace's own domains.

use crate::options::{Generation, Options};

/// What a domain name may be long at most, in UTF-16 units; likewise a label.
const LONGEST_NAME: usize = 255;
const LONGEST_LABEL: usize = 63;

/// Whether the host of a found `address` is known.
pub(crate) fn is_known(address: &str, options: &Options) -> bool {
    let Some(host) = host_of(address) else {
        return false;
    };
    if options.generation == Generation::V8_7 && is_ip(&host) {
        return true;
    }
    is_valid(&host)
        && (has_public_suffix(&host)
            || std::iter::once("localhost")
                .chain(options.custom_domains.iter().map(String::as_str))
                .any(|domain| is_within(&host, domain)))
}

/// Whether the host of an e-mail `address` is known.
pub(crate) fn is_known_mail(address: &str) -> bool {
    // What the server looks at, so that a `?` or `/` before the `@` ends the host.
    host_of(&format!("mailto:{address}"))
        .is_some_and(|host| is_valid(&host) && has_public_suffix(&host))
}

fn has_public_suffix(host: &str) -> bool {
    psl::suffix(host.as_bytes()).is_some_and(|suffix| suffix.is_known())
}

fn is_within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The part of an address that names the host, in lower case.
fn host_of(address: &str) -> Option<String> {
    let after_scheme = match address.find(":/") {
        _ if address.starts_with("//") => address.trim_start_matches('/'),
        Some(colon) => {
            let scheme = &address[..colon];
            let is_scheme = scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
            if !is_scheme {
                return None;
            }
            address[colon + 1..].trim_start_matches('/')
        }
        None => address,
    };
    let authority = after_scheme
        .split(['/', '?', '#'])
        .next()
        .unwrap_or_default();
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    Some(host.trim_end_matches('.').to_lowercase())
}

/// Whether it has the shape of a host name; letters beyond ASCII are all allowed.
fn is_valid(host: &str) -> bool {
    let length = host.encode_utf16().count();
    let last = host.split('.').count() - 1;
    (1..=LONGEST_NAME).contains(&length)
        && !host.starts_with(['-', '_'])
        && host.split('.').enumerate().all(|(at, label)| {
            !label.is_empty()
                && label.encode_utf16().count() <= LONGEST_LABEL
                && !label.ends_with('-')
                && (at == last || !label.ends_with('_'))
                && label.chars().all(|c| {
                    c.is_ascii_lowercase()
                        || c.is_ascii_digit()
                        || c == '-'
                        || c == '_'
                        || !c.is_ascii()
                })
        })
}

fn is_ip(host: &str) -> bool {
    (7..=15).contains(&host.len())
        && host.split('.').count() == 4
        && !host.starts_with('.')
        && !host.ends_with('.')
        && host.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_that_somebody_may_own_are_known() {
        let options = Options {
            custom_domains: vec!["intranet".to_owned()],
            ..Options::default()
        };
        for (address, known) in [
            ("a.com", true),
            ("https://user:secret@A.CO.UK:80/x?y#z", true),
            ("me.github.io", true),
            ("README.md", true),
            ("localhost/x", true),
            ("wiki.intranet", true),
            ("a.invalid", false),
            ("10.0.0.1", false),
            ("a..com", false),
            ("-a.com", false),
            ("", false),
        ] {
            assert_eq!(is_known(address, &options), known, "{address}");
        }
    }
}
