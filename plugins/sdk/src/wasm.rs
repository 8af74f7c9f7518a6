//! The host behind the traits, and the plugin behind the generated ones. The only place that calls an import.

use crate::bindings::Exported;
use crate::bindings::exports::harness::plugin::workload::Guest as GuestWorkload;
use crate::bindings::harness::plugin::{bench, common, gpu, model, recordings};
use crate::bindings::report::exports::harness::plugin::report::{self, Guest as GuestReport};
use crate::{
    Absence, Artifact, Description, Error, Extent, Facts, Generation, Gpu, GpuState, Host, Metric, ModelError,
    ModelInfo, Output, Plan, Reading, Recording, Report, Request, Run, Settings, Workload,
};

impl<T: Workload> GuestWorkload for Exported<T> {
    fn describe() -> Description {
        T::describe()
    }

    fn run(settings: common::Values) -> Result<Vec<recordings::Reading>, common::Failure> {
        let readings = T::run(&Imports, &Settings::new(settings)).map_err(Error::into_failure)?;
        Ok(readings.into_iter().map(Into::into).collect())
    }
}

impl<T: Report> GuestReport for Exported<T> {
    fn describe() -> Description {
        T::describe()
    }

    fn render(recording: &recordings::Recording, settings: common::Values) -> Result<report::Output, common::Failure> {
        T::render(recording, &Settings::new(settings)).map(Into::into).map_err(Error::into_failure)
    }
}

struct Imports;

impl Host for Imports {
    fn model(&self) -> ModelInfo {
        model::about()
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        Ok(model::encode(text)?)
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, ModelError> {
        Ok(model::decode(tokens)?)
    }

    fn generate(&self, request: &Request) -> Result<Generation, ModelError> {
        Ok(model::generate(request)?)
    }

    fn measure(&self, plan: &Plan) -> Result<Box<dyn Run>, ModelError> {
        let handle = bench::Plan::new(&plan.label, &plan.requests);
        handle.set_iterations(plan.iterations);
        handle.set_warmup(plan.warmup);
        if let Some(most) = plan.warmup_until_steady {
            handle.set_warmup_until_steady(most);
        }
        handle.set_batch(plan.batch);
        if let Some(seconds) = plan.time_limit {
            handle.set_time_limit(seconds);
        }
        Ok(Box::new(bench::measure(&handle)?))
    }

    fn gpus(&self) -> Vec<Gpu> {
        gpu::devices()
    }

    fn gpu_state(&self, index: u32) -> Result<GpuState, String> {
        gpu::read(index)
    }
}

impl Run for recordings::Run {
    fn label(&self) -> String {
        self.label()
    }

    fn extent(&self) -> Extent {
        self.extent()
    }

    fn metrics(&self) -> Vec<Metric> {
        self.metrics().into_iter().map(Into::into).collect()
    }

    fn value(&self, metric: &str) -> Option<f64> {
        self.value(metric)
    }

    fn samples(&self, metric: &str) -> Option<Vec<f64>> {
        self.samples(metric)
    }

    fn times(&self, metric: &str) -> Option<Vec<f64>> {
        self.times(metric)
    }

    fn absences(&self) -> Vec<Absence> {
        self.absences()
    }
}

impl Recording for recordings::Recording {
    fn facts(&self) -> Facts {
        self.facts().into_iter().map(|fact| (fact.name, fact.value)).collect()
    }

    fn runs(&self) -> Vec<Box<dyn Run>> {
        self.runs().into_iter().map(|run| Box::new(run) as Box<dyn Run>).collect()
    }

    fn summary(&self) -> Vec<Reading> {
        self.summary()
            .into_iter()
            .map(|reading| Reading { metric: reading.metric.into(), value: reading.value })
            .collect()
    }
}

impl From<recordings::Metric> for Metric {
    fn from(metric: recordings::Metric) -> Self {
        let recordings::Metric { name, unit, help, better, sampled } = metric;
        Self { name: name.into(), unit: unit.into(), help: help.into(), better, sampled }
    }
}

impl From<Reading> for recordings::Reading {
    fn from(reading: Reading) -> Self {
        let Metric { name, unit, help, better, sampled } = reading.metric;
        let (name, unit, help) = (name.into_owned(), unit.into_owned(), help.into_owned());
        Self { metric: recordings::Metric { name, unit, help, better, sampled }, value: reading.value }
    }
}

impl From<Output> for report::Output {
    fn from(output: Output) -> Self {
        match output {
            Output::Text(text) => Self::Text(text),
            Output::Files(files) => Self::Files(
                files
                    .into_iter()
                    .map(|Artifact { name, media_type, contents }| report::Artifact { name, media_type, contents })
                    .collect(),
            ),
        }
    }
}
