//! Whether a transaction was left out on its way to the bridge. Pure.
//!
//! Synapse numbers its transactions. One that is made while it delivers what had
//! waited during an absence of the bridge may be passed over, and is sent only
//! after the next absence, perhaps days later; its events would come long after
//! those behind them, or seem lost. The gap in the numbers tells. Where several
//! appservices share the numbers, gaps tell nothing: that shows soon.

/// After how many gaps in a row behind which nothing was missing they are taken to
/// mean nothing.
const FRUITLESS: u32 = 5;

/// The numbers of the transactions that came.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    last: Option<i64>,
    /// A gap was noticed and has not been looked behind yet.
    gap: bool,
    fruitless: u32,
}

impl Transactions {
    /// Continues behind a number.
    pub(super) fn after(last: Option<i64>) -> Self {
        Self {
            last,
            ..Self::default()
        }
    }

    /// A transaction came: whether one before it seems to be missing.
    pub(super) fn arrive(&mut self, id: &str) -> bool {
        let Ok(number) = id.parse::<i64>() else {
            return false;
        };
        match self.last {
            Some(last) if number <= last => false,
            last => {
                self.last = Some(number);
                let gap = self.fruitless < FRUITLESS && last.is_some_and(|last| number > last + 1);
                self.gap |= gap;
                gap
            }
        }
    }

    /// The highest number so far.
    pub(super) fn last(&self) -> Option<i64> {
        self.last
    }

    /// What came of looking for what was missing, for whatever reason.
    pub(super) fn looked(&mut self, found_something: bool) {
        let behind_a_gap = std::mem::take(&mut self.gap);
        if found_something {
            self.fruitless = 0;
        } else if behind_a_gap {
            self.fruitless += 1;
            if self.fruitless == FRUITLESS {
                tracing::info!(
                    "transactions are not numbered one by one here; gaps are passed over"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_noticed_once_and_what_comes_late_is_none() {
        let mut transactions = Transactions::after(Some(33));
        assert!(!transactions.arrive("33"), "a repeat");
        assert!(transactions.arrive("35"));
        assert!(!transactions.arrive("36"));
        assert!(!transactions.arrive("34"), "it came late");
        assert!(!transactions.arrive("37"));
        assert_eq!(transactions.last(), Some(37));
    }

    #[test]
    fn the_first_ever_and_names_that_are_no_numbers_are_no_gaps() {
        let mut transactions = Transactions::default();
        assert!(!transactions.arrive("5"));
        assert!(!transactions.arrive("m1234.5"));
        assert!(transactions.arrive("7"));
    }

    #[test]
    fn gaps_behind_which_there_is_never_anything_are_passed_over() {
        let mut transactions = Transactions::after(Some(0));
        for number in 1..=5 {
            assert!(transactions.arrive(&(number * 10).to_string()));
            transactions.looked(false);
        }
        assert!(!transactions.arrive("100"));
        transactions.looked(false);
        transactions.looked(true);
        assert!(transactions.arrive("200"));
    }
}
