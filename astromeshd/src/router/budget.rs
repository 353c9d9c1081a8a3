//! How many attempts beyond the first may be made: where everything fails, trying everything again makes it worse.

use crate::recent::{Recent, WINDOW};

/// One request in so many may be tried once more.
const ONE_IN: u64 = 5;

/// So many may be a second, however few requests there are.
const FLOOR: u64 = 10;

/// Requests and repetitions of late.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    requests: Recent,
    repeated: Recent,
}

impl Budget {
    /// A request came, `second` seconds after the start.
    pub(super) fn request(&self, second: u64) {
        self.requests.count(second);
    }

    /// Whether one may be tried once more, which counts.
    pub(super) fn spend(&self, second: u64) -> bool {
        let allowed = (self.requests.so_far(second) / ONE_IN).max(FLOOR * WINDOW);
        let is_left = self.repeated.so_far(second) < allowed;
        if is_left {
            self.repeated.count(second);
        }
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(budget: &Budget, second: u64) -> usize {
        (0..10_000).take_while(|_| budget.spend(second)).count()
    }

    #[test]
    fn one_in_five_of_many_and_ten_a_second_of_few() {
        let budget = Budget::default();
        assert_eq!(spent(&budget, 5), 100);
        assert_eq!(spent(&budget, 30), 100);
        for second in 40..50 {
            (0..1_000).for_each(|_| budget.request(second));
        }
        assert_eq!(spent(&budget, 49), 2_000);
        assert_eq!(spent(&budget, 49), 0);
    }
}
