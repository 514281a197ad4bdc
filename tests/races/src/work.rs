// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What counts work, and a stand-in for the threads that it runs on.

#[path = "../../../src/work/task.rs"]
pub mod task;

/// In place of src/work/workers.rs: a thread for each task.
pub mod workers {
    use cloudsync_logic::host::NoThread;
    use shuttle::rand::Rng;

    /// Threads.
    #[derive(Debug)]
    pub struct Pool;

    /// Recalls of small files.
    pub static SMALL: Pool = Pool;
    /// Recalls of large files.
    pub static LARGE: Pool = Pool;
    /// What asks the bricks.
    pub static BRICKS: Pool = Pool;
    /// Requests that readers wait for.
    pub static READS: Pool = Pool;
    /// What waits for a lock.
    pub static LOCKS: Pool = Pool;
    /// As many as there are tasks.
    pub const LIMIT: usize = 16;

    thread_local! {
        static SCARCE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }

    /// From now on one of four threads cannot be had.
    pub fn become_scarce(scarce: bool) {
        SCARCE.set(scarce);
    }

    impl Pool {
        /// Runs the task.
        ///
        /// # Errors
        /// When threads are scarce.
        pub fn run(
            &'static self,
            _: usize,
            task: impl FnOnce() + Send + 'static,
        ) -> Result<(), NoThread> {
            if SCARCE.get() && shuttle::rand::thread_rng().gen_ratio(1, 4) {
                return Err(NoThread);
            }
            shuttle::thread::spawn(task);
            Ok(())
        }
    }
}
