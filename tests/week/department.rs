// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The department: its files, and what its people do with them in a day. Of each file there is a copy outside of the volume,
//! with which everything is compared that is read.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use cloudsync_lab::Lab;
use cloudsync_store_conformance::pattern;

use crate::Answer;
use crate::settings::Settings;
use crate::stage::Stage;

/// Folders, one for each project.
const PROJECTS: usize = 5;
/// On this day somebody reads a whole project.
const AUDIT: usize = 4;

/// A file.
#[derive(Debug)]
struct File {
    name: String,
    /// The day on which it was last changed; `None`: before all this.
    changed: Option<usize>,
}

/// What is done in a day.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    create: Vec<usize>,
    append: Vec<usize>,
    read: Vec<usize>,
    /// The names of the files that are read or changed.
    pub(crate) touched: BTreeSet<String>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Department {
    files: Vec<File>,
    /// The copies' folder, in the lab and in this process.
    inside: String,
    outside: PathBuf,
    state: u64,
    at_first: usize,
}

impl Department {
    pub(crate) fn new(lab: &Lab, settings: &Settings) -> Answer<Self> {
        let folder = lab.scratch("truth");
        let outside = lab.outer(&folder);
        if outside.exists() {
            fs::remove_dir_all(&outside)?;
        }
        let mut department = Self {
            files: Vec::new(),
            inside: folder.display().to_string(),
            outside,
            // Every week is the same one.
            state: 7,
            at_first: settings.files,
        };
        for _ in 0..settings.files {
            department.new_file(None)?;
        }
        Ok(department)
    }

    /// A number below `limit`.
    fn random(&mut self, limit: usize) -> usize {
        // Knuth's MMIX.
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.state >> 33).unwrap_or(0) % limit
    }

    /// Makes the copy of a new file. Sizes are from 4 KiB to 1 MiB, the small ones as frequent as the large ones.
    fn new_file(&mut self, day: Option<usize>) -> Answer<usize> {
        let number = self.files.len();
        let project = self.random(PROJECTS);
        let size = (4096 << self.random(9)) - self.random(1000);
        let name = format!("project{project}/file{number}");
        let path = self.outside.join(&name);
        fs::create_dir_all(path.parent().ok_or("no folder")?)?;
        fs::write(path, pattern(number as u64, size))?;
        self.files.push(File { name, changed: day });
        Ok(number)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.name.as_str())
    }

    /// Copies the files that there are at first. They are old.
    pub(crate) fn move_in(&self, stage: &Stage<'_>) -> Answer<()> {
        let (truth, place) = (&self.inside, stage.place()?);
        let (_, errors) = stage.sh(&format!(
            "find {truth} -type f -exec touch -d '100 days ago' {{}} +; cp -a {truth}/. {place}/"
        ))?;
        if !errors.is_empty() {
            return Err(errors.into());
        }
        Ok(())
    }

    /// What is done on a day, and the copies of what is new.
    pub(crate) fn plan(&mut self, day: usize) -> Plan {
        let mut plan = Plan::default();
        // Ten of a hundred files are looked at in a day, more often the new ones; five are added, and two changed.
        let share = |percent: usize| (self.at_first * percent / 100).max(1);
        let [reads, creates, appends] = [10, 5, 2].map(share);
        let recent: Vec<usize> = self.recent(day);
        for number in 0..reads {
            let file = match recent.as_slice() {
                [] => self.random(self.files.len()),
                _ if number % 5 < 2 => self.random(self.files.len()),
                recent => recent[self.random(recent.len())],
            };
            plan.read.push(file);
        }
        if day == AUDIT {
            let audited = |(_, file): &(usize, &File)| file.name.starts_with("project0/");
            let all = self.files.iter().enumerate();
            plan.read
                .extend(all.filter(audited).map(|(number, _)| number));
        }
        for _ in 0..appends {
            let file = self.random(self.files.len());
            plan.append.push(file);
        }
        plan.create = (0..creates)
            .filter_map(|_| self.new_file(Some(day)).ok())
            .collect();
        let touched = plan.read.iter().chain(&plan.append);
        plan.touched = touched.map(|file| self.files[*file].name.clone()).collect();
        for file in &plan.append {
            self.files[*file].changed = Some(day);
        }
        plan
    }

    /// The files that were made or changed on this day or the day before.
    fn recent(&self, day: usize) -> Vec<usize> {
        let files = self.files.iter().enumerate();
        files
            .filter(|(_, file)| file.changed.is_some_and(|changed| changed + 1 >= day))
            .map(|(number, _)| number)
            .collect()
    }

    /// Does it. Returns how many files were not as they should be.
    pub(crate) fn work(&self, stage: &Stage<'_>, plan: &Plan) -> Answer<usize> {
        let (truth, place) = (&self.inside, stage.place()?);
        let mut script = String::new();
        let name = |file: &usize| &self.files[*file].name;
        for file in plan.create.iter().map(name) {
            writeln!(script, "cp {truth}/{file} {place}/{file}")?;
        }
        for file in &plan.read {
            let file = name(file);
            writeln!(script, "cmp {truth}/{file} {place}/{file}")?;
        }
        for file in plan.append.iter().map(name) {
            for copy in [truth, &place] {
                writeln!(
                    script,
                    "echo 'one more line' >>{copy}/{file} || echo {file}"
                )?;
            }
        }
        let (output, errors) = stage.sh(&script)?;
        let wrong: Vec<_> = output.lines().chain(errors.lines()).collect();
        for line in &wrong {
            println!("WRONG: {line}");
        }
        Ok(wrong.len())
    }

    /// Compares every file. Returns how many differ.
    pub(crate) fn compare_all(&self, stage: &Stage<'_>) -> Answer<usize> {
        let (truth, place) = (&self.inside, stage.place()?);
        let (output, errors) = stage.sh(&format!("diff -rq {truth} {place}"))?;
        print!("{output}{errors}");
        Ok(output.lines().count() + errors.lines().count())
    }
}
