//! Fault injection for tests: panics before the n-th change of the disk.

#[cfg(test)]
pub(super) use armed::{after, step};

#[cfg(test)]
mod armed {
    use std::cell::Cell;

    thread_local! {
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// Allows `changes` more changes of the disk and panics before the next one. `None` allows all changes.
    pub(crate) fn after(changes: Option<usize>) {
        LEFT.set(changes);
    }

    pub(crate) fn step() {
        match LEFT.get() {
            Some(0) => panic!("killed"),
            Some(left) => LEFT.set(Some(left - 1)),
            None => {}
        }
    }
}

/// Marks the point before a change of the disk. Does nothing outside tests.
#[cfg(not(test))]
pub(super) fn step() {}
