// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The application that uses libgfapi.

use std::path::PathBuf;

use cloudsync_lab::{ADDRESS, Lab, Volume};

use crate::Answer;
use crate::program::Program;
use crate::sampler::Source;

/// Its name in reports.
pub(crate) const NAME: &str = "gfapi";

/// The running program, and where one can look at it.
#[derive(Debug)]
pub(crate) struct Native {
    pub(crate) program: Program,
    pub(crate) source: Source,
    /// Its log, as this process sees it.
    pub(crate) log: PathBuf,
}

/// Compiles and starts it.
pub(crate) fn start(lab: &Lab, volume: &Volume) -> Answer<Native> {
    let (log, metrics) = (lab.scratch("log/native.log"), lab.scratch("native.metrics"));
    let args = [
        volume.name().as_ref(),
        ADDRESS.as_ref(),
        log.as_os_str(),
        metrics.as_os_str(),
    ];
    let program = Program::start(lab, "native", &["-lgfapi", "-lpthread"], args)?;
    Ok(Native {
        source: Source::Program(program.pid(), lab.outer(metrics)),
        log: lab.outer(log),
        program,
    })
}
