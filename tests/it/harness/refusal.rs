//! Calls that must be refused, and the checks of their errors.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The error of a call, to be checked.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: Status,
    details: ErrorDetails,
}

/// The error of a call that must have one.
#[track_caller]
pub(crate) fn refused<T>(call: Result<T, Status>) -> Refusal {
    match call {
        Err(status) => Refusal { details: status.get_error_details(), status },
        Ok(_) => panic!("the call was not refused"),
    }
}

impl Refusal {
    /// Checks the code, the reason in its `ErrorInfo`, and that it has a message.
    #[track_caller]
    pub(crate) fn with(self, code: Code, reason: &str) -> Self {
        let status = &self.status;
        assert_eq!(status.code(), code, "{status:?}");
        let info = self.details.error_info();
        let info = info.unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
        assert_eq!((info.domain.as_str(), info.reason.as_str()), ("whimbrel", reason));
        let message = status.message();
        assert!(!message.is_empty() && !message.ends_with('.'), "{message:?}");
        self
    }

    /// Checks that its `BadRequest` blames this field and no other.
    #[track_caller]
    pub(crate) fn blaming(self, field: &str) -> Self {
        let violations = self.details.bad_request().map(|bad| bad.field_violations.as_slice());
        let fields: Vec<_> =
            violations.unwrap_or_default().iter().map(|violation| &violation.field).collect();
        assert_eq!(fields, [field], "{:?}", self.status);
        self
    }

    /// Checks that its `RetryInfo` has a delay.
    #[track_caller]
    pub(crate) fn with_a_delay(self) -> Self {
        let delay = self.details.retry_info().and_then(|retry| retry.retry_delay);
        assert!(delay.is_some_and(|delay| !delay.is_zero()), "no delay in {:?}", self.status);
        self
    }

    /// Checks that its `QuotaFailure` names this subject and no other.
    #[track_caller]
    pub(crate) fn for_quota_of(self, subject: &str) -> Self {
        let violations = self.details.quota_failure().map(|quota| quota.violations.as_slice());
        let subjects: Vec<_> =
            violations.unwrap_or_default().iter().map(|violation| &violation.subject).collect();
        assert_eq!(subjects, [subject], "{:?}", self.status);
        self
    }

    /// The metadata of its `ErrorInfo`: every variable part of the message.
    #[track_caller]
    pub(crate) fn metadata(&self) -> &HashMap<String, String> {
        &self.details.error_info().expect("an ErrorInfo").metadata
    }
}
