//! The optimized service integrations of Step Functions.

/// The integration pattern of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pattern {
    /// Waits for the response of the service.
    Answer,
    /// Waits for the end of the job.
    Sync,
    /// Waits for the end of the job, and returns its result as JSON.
    Sync2,
    /// Waits until the task token is returned.
    Token,
}

use Pattern::{Answer, Sync, Sync2, Token};

impl Pattern {
    /// Returns the suffix of the name of the call.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Answer => "",
            Sync => ".sync",
            Sync2 => ".sync:2",
            Token => ".waitForTaskToken",
        }
    }

    /// Splits `glue:startJobRun.sync` into the call and the pattern.
    pub(crate) fn split(service: &str) -> (&str, Pattern) {
        for pattern in [Sync2, Sync, Token] {
            if let Some(call) = service.strip_suffix(pattern.suffix()) {
                return (call, pattern);
            }
        }
        (service, Answer)
    }
}

const CALL: &[Pattern] = &[Answer, Token];
const JOB: &[Pattern] = &[Answer, Sync];
const ONLY: &[Pattern] = &[Answer];

/// The optimized integrations, with the patterns each has.
const INTEGRATIONS: [(&str, &[Pattern]); 60] = [
    ("apigateway:invoke", CALL),
    ("athena:getQueryExecution", ONLY),
    ("athena:getQueryResults", ONLY),
    ("athena:startQueryExecution", JOB),
    ("athena:stopQueryExecution", ONLY),
    ("batch:submitJob", JOB),
    ("bedrock:createModelCustomizationJob", JOB),
    ("bedrock:invokeModel", ONLY),
    ("codebuild:batchDeleteBuilds", ONLY),
    ("codebuild:batchGetReports", ONLY),
    ("codebuild:startBuild", JOB),
    ("codebuild:startBuildBatch", JOB),
    ("codebuild:stopBuild", ONLY),
    ("codebuild:stopBuildBatch", ONLY),
    ("databrew:startJobRun", JOB),
    ("dynamodb:deleteItem", ONLY),
    ("dynamodb:getItem", ONLY),
    ("dynamodb:putItem", ONLY),
    ("dynamodb:updateItem", ONLY),
    ("ecs:runTask", &[Answer, Sync, Token]),
    ("eks:call", ONLY),
    ("eks:createCluster", JOB),
    ("eks:createFargateProfile", JOB),
    ("eks:createNodegroup", JOB),
    ("eks:deleteCluster", JOB),
    ("eks:deleteFargateProfile", JOB),
    ("eks:deleteNodegroup", JOB),
    ("eks:runJob", JOB),
    ("elasticmapreduce:addStep", JOB),
    ("elasticmapreduce:cancelStep", ONLY),
    ("elasticmapreduce:createCluster", JOB),
    ("elasticmapreduce:modifyInstanceFleetByName", ONLY),
    ("elasticmapreduce:modifyInstanceGroupByName", ONLY),
    ("elasticmapreduce:setClusterTerminationProtection", ONLY),
    ("elasticmapreduce:terminateCluster", JOB),
    ("emr-containers:createVirtualCluster", ONLY),
    ("emr-containers:deleteVirtualCluster", JOB),
    ("emr-containers:startJobRun", JOB),
    ("emr-serverless:createApplication", JOB),
    ("emr-serverless:deleteApplication", JOB),
    ("emr-serverless:startApplication", JOB),
    ("emr-serverless:startJobRun", JOB),
    ("emr-serverless:stopApplication", JOB),
    ("events:putEvents", CALL),
    ("glue:startJobRun", JOB),
    ("http:invoke", ONLY),
    ("lambda:invoke", CALL),
    ("mediaconvert:createJob", JOB),
    ("sagemaker:createEndpoint", ONLY),
    ("sagemaker:createEndpointConfig", ONLY),
    ("sagemaker:createHyperParameterTuningJob", JOB),
    ("sagemaker:createLabelingJob", JOB),
    ("sagemaker:createModel", ONLY),
    ("sagemaker:createProcessingJob", JOB),
    ("sagemaker:createTrainingJob", JOB),
    ("sagemaker:createTransformJob", JOB),
    ("sagemaker:updateEndpoint", ONLY),
    ("sns:publish", CALL),
    ("sqs:sendMessage", CALL),
    ("states:startExecution", &[Answer, Sync, Sync2, Token]),
];

/// Returns the patterns of an optimized integration, or `None` if the call does not exist.
pub(crate) fn patterns(call: &str) -> Option<&'static [Pattern]> {
    INTEGRATIONS
        .iter()
        .find(|(name, _)| *name == call)
        .map(|(_, patterns)| *patterns)
}

/// Returns every optimized integration.
pub(crate) fn integrations() -> impl Iterator<Item = &'static str> {
    INTEGRATIONS.iter().map(|(name, _)| *name)
}
