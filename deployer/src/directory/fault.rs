//! Lets a test end everything before the n-th change of the disk.

#[cfg(test)]
pub(super) use armed::{after, step};

#[cfg(test)]
mod armed {
    use std::cell::Cell;

    thread_local! {
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// After `changes` more changes, the next one panics instead; with nothing, none does.
    pub(in crate::directory) fn after(changes: Option<usize>) {
        LEFT.set(changes);
    }

    pub(in crate::directory) fn step() {
        match LEFT.get() {
            Some(0) => panic!("killed"),
            Some(left) => LEFT.set(Some(left - 1)),
            None => {}
        }
    }
}

/// Called before each change.
#[cfg(not(test))]
pub(super) fn step() {}
