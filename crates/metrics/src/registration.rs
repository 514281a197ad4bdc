// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Registers metrics. Those with a label begin with all of its values, at zero.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

/// One label: its name and its value.
type Label = [(&'static str, &'static str); 1];
pub(crate) type Counters = Family<Label, Counter>;
pub(crate) type Gauges = Family<Label, Gauge>;
pub(crate) type Histograms = Family<Label, Histogram, fn() -> Histogram>;

/// Seconds, from what a store nearby takes to what a large file takes.
const BOUNDS: [f64; 14] = [
    0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0,
];

/// A histogram of seconds.
pub(crate) fn seconds() -> Histogram {
    Histogram::new(BOUNDS)
}

/// Registers metrics, and creates the ones with a label for all of its values.
pub(crate) struct Builder(pub(crate) Registry);

impl Builder {
    pub(crate) fn one<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }

    pub(crate) fn of<M: Metric + Clone>(
        &mut self,
        unit: Unit,
        name: &str,
        help: &str,
        metric: M,
    ) -> M {
        self.0.register_with_unit(name, help, unit, metric.clone());
        metric
    }

    pub(crate) fn counter(&mut self, name: &str, help: &str) -> Counter {
        self.one(name, help, Counter::default())
    }

    pub(crate) fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: impl IntoIterator<Item = &'static str>,
    ) -> Counters {
        let family = self.one(name, help, Counters::default());
        for value in values {
            let _created = family.get_or_create(&[(label, value)]);
        }
        family
    }

    pub(crate) fn gauge(&mut self, name: &str, help: &str) -> Gauge {
        self.one(name, help, Gauge::default())
    }
}
