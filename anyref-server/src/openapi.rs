//! Description of the API for programs.

use anyref_api::{
    AnswerOutput, CandidateChoice, Choice, EarlyMaskOutput, ExplanationOutput, Failure,
    FailureDetail, FileInput, MaskAnswer, MaskFormat, MaskInput, MaskOutput, MaskRequest,
    MaskTiming, ModelDetail, PartOutput, PictureInput, QuestionInput, ReferenceInput,
    RefinableMask, TimingOutput, WordOutput,
};
use utoipa::OpenApi;

use crate::native::{ModelList, ModelOutput, PictureOutput, PictureTiming};
use crate::openai::{
    ChoiceOutput, CompletionInput, CompletionOutput, ContentInput, ContentPart, ExtraInput,
    ImageUrl, InputAudio, MessageInput, MessageOutput,
};
use crate::{masks, native, openai};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "AnyRef",
        description = "Point at things in pictures by text, a box, another picture or a sound; get a \
            sentence, and a mask of each thing in it.\n\n\
            A picture is uploaded once to /v1/pictures and asked about any number of times by its \
            identifier; a question may also bring the file itself. /v1/chat/completions takes what \
            OpenAI's clients send.\n\n\
            Where the server has a token, requests bear it: Authorization: Bearer TOKEN. Files come \
            within requests, and addresses are not fetched. An error has a sentence for people and a \
            code for programs; 503 says with Retry-After when to try again."
    ),
    paths(
        native::upload,
        native::picture,
        native::forget,
        native::segment,
        native::describe,
        native::chat,
        masks::masks,
        openai::completions,
        native::models,
    ),
    components(schemas(
        QuestionInput,
        PictureInput,
        FileInput,
        ReferenceInput,
        MaskInput,
        MaskFormat,
        Choice,
        AnswerOutput,
        PartOutput,
        MaskOutput,
        EarlyMaskOutput,
        TimingOutput,
        ExplanationOutput,
        WordOutput,
        CandidateChoice,
        MaskAnswer,
        MaskRequest,
        MaskTiming,
        RefinableMask,
        PictureOutput,
        PictureTiming,
        CompletionInput,
        MessageInput,
        ContentInput,
        ContentPart,
        ImageUrl,
        InputAudio,
        ExtraInput,
        CompletionOutput,
        ChoiceOutput,
        MessageOutput,
        ModelList,
        ModelOutput,
        ModelDetail,
        Failure,
        FailureDetail,
    ))
)]
struct Description;

/// Description of the API in OpenAPI 3.1.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Description::openapi()
}
