//! Misbehaviour on request: rules that make REST calls fail in the ways real servers, proxies and
//! networks do. Sockets are made to misbehave through `control.rs`.

use rand::RngExt;

use crate::{
    control::{Action, Rule, RuleState},
    limiter::Limiter,
};

/// What a matching rule does to a request.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The action.
    pub action: Action,
    /// For a rate limit: calls left and the end of the window, when the call is within it.
    pub limited: Option<crate::limiter::Count>,
}

#[derive(Debug)]
struct Kept {
    rule: Rule,
    seen: u64,
    hits: u64,
}

/// All rules, asked in the order in which they were added; the first that applies wins.
#[derive(Debug, Default)]
pub struct Rules {
    kept: Vec<Kept>,
    limiter: Limiter,
}

/// Matches a path with `*` for any part of it; a pattern without `*` matches what begins with it.
pub fn glob(pattern: &str, path: &str) -> bool {
    if !pattern.contains('*') {
        return path.starts_with(pattern);
    }
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| path.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    for (at, part) in parts.iter().enumerate() {
        if at + 1 == parts.len() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(found) => rest = &rest[found + part.len()..],
            None => return false,
        }
    }
    true
}

impl Rules {
    /// Adds a rule; returns how many there are.
    pub fn add(&mut self, rule: Rule) -> usize {
        self.kept.push(Kept {
            rule,
            seen: 0,
            hits: 0,
        });
        self.kept.len()
    }

    /// Removes all rules.
    pub fn clear(&mut self) {
        self.kept.clear();
        self.limiter.clear();
    }

    /// The rules with their counters.
    pub fn shown(&self) -> Vec<RuleState> {
        self.kept
            .iter()
            .map(|kept| RuleState {
                rule: kept.rule.clone(),
                seen: kept.seen,
                hits: kept.hits,
            })
            .collect()
    }

    /// Whether there is any rule.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The action for a request, if a rule applies.
    pub fn apply(&mut self, method: &str, path: &str, user: &str, now: i64) -> Option<Applied> {
        for (at, kept) in self.kept.iter_mut().enumerate() {
            let rule = &kept.rule.when;
            let matches = rule
                .method
                .as_ref()
                .is_none_or(|one| one.eq_ignore_ascii_case(method))
                && rule.path.as_ref().is_none_or(|pattern| glob(pattern, path))
                && rule.user.as_ref().is_none_or(|one| one == user);
            if !matches {
                continue;
            }
            kept.seen += 1;
            let due = rule.nth.is_none_or(|nth| kept.seen >= nth)
                && rule.times.is_none_or(|times| kept.hits < times)
                && rule
                    .probability
                    .is_none_or(|chance| rand::rng().random_range(0.0..1.0) < chance);
            if !due {
                continue;
            }
            let action = kept.rule.action.clone();
            let mut limited = None;
            if let Action::RateLimit { calls, window_ms } = &action {
                let count = self
                    .limiter
                    .count(&format!("{at}"), *calls, *window_ms, now);
                limited = Some(count);
                if count.allowed {
                    return Some(Applied { action, limited });
                }
            }
            kept.hits += 1;
            return Some(Applied { action, limited });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_beginnings_or_with_stars() {
        assert!(glob("/api/v1/chat.", "/api/v1/chat.sendMessage"));
        assert!(glob("*sendMessage", "/api/v1/chat.sendMessage"));
        assert!(glob("/api/*/chat.*", "/api/v1/chat.react"));
        assert!(!glob("/api/*/chat.*", "/api/v1/users.info"));
        assert!(!glob("*send", "/api/v1/chat.sendMessage"));
    }
}
