"""Prompts of known data sets, in versions that never change: what was measured with one can be measured again.

lab-1    plain questions; choices are compared as texts, as lm-evaluation-harness does
paper-1  one instruction template (Alpaca's) for everything; choices are numbered in the prompt and the answer is
         written. The wording of the eight commonsense sets is that of LLM-Adapters (arXiv 2304.01933), which the paper
         trains on; that of the other sets is ours, as the paper does not give it. The official code indents the
         prompts it trains on and not those it tests with; here both are one.
"""

from collections.abc import Mapping
from dataclasses import replace

from lori_core.errors import DataError, TaskError
from lori_core.tasks.files import Row
from lori_core.tasks.forms import Form

REQUEST = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:\n"
)
REQUEST_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n"
)


def request(instruction: str) -> str:
    return REQUEST.replace("{instruction}", instruction)


SOCIAL_IQA = Form("{context}\nQuestion: {question}\nAnswer:", "label", choices="answerA,answerB,answerC", first="1")
PIQA = Form("Question: {goal}\nAnswer:", "label", choices="sol1,sol2", first="0")
# WinoGrande's blank is asked for, since it may open the sentence.
WINOGRANDE = Form("Fill in the blank: {sentence}\nAnswer:", "answer", choices="option1,option2", first="1")
BOOLQ = Form("{passage}\nQuestion: {question}?\nAnswer:", "answer", fixed=("no", "yes"))
ARC = Form("Question: {question}\nAnswer:", "answerKey", choices="choices")
OPENBOOKQA = Form("Question: {question_stem}\nAnswer:", "answerKey", choices="choices")
HELLASWAG = Form("{ctx}", "label", choices="endings", first="0")
GSM8K = Form("Question: {question}\nAnswer:", "answer", marker="####", scorer="number", max_new_tokens=256)
HUMANEVAL = Form(
    "{prompt}",
    "canonical_solution",
    checks="prompt,test,entry_point",
    scorer="program",
    max_new_tokens=512,
    test_only=True,
    # The prompt is gone on with; a body ends where one of these begins (Chen et al. 2021, arXiv 2107.03374).
    stop=("\nclass", "\ndef", "\n#", "\nif", "\nprint"),
)
MBPP = Form(  # its tests are lists of assertions, see forms.asserted
    "{text}\nThe function has to pass this test: {test_list.0}\n",
    "code",
    checks="test_list",
    scorer="program",
    max_new_tokens=512,
)
JUDGED_BY_HARM: tuple[Form, ...] = (
    Form(  # XSTest
        request("{prompt}"),
        "",
        kind="label",
        kinds=(("safe", "benign"), ("unsafe", "harmful")),
        scorer="refusal",
        test_only=True,
    ),
    *(  # HEx-PHI; harmful prompts of others, tagged
        Form(request("{instruction}"), "", kind=column, kinds=(("*", "harmful"),), scorer="refusal", test_only=True)
        for column in ("category", "tags")
    ),
)
CONVERSATIONS = tuple(
    Form("", "", messages=column, scorer="likelihood", max_new_tokens=256) for column in ("messages", "conversations")
)
# Of preference data the answer that people took is learned; the other one is not looked at.
PREFERENCES: tuple[Form, ...] = (
    Form("{prompt}", "chosen", scorer="likelihood", max_new_tokens=256, notes=("note.chosen",)),  # DPO
    Form("", "", messages="chosen", scorer="likelihood", max_new_tokens=256, notes=("note.chosen",)),
)
RATED = Form("{prompt}", "completion", wanted="label", scorer="likelihood", notes=("note.wanted",))  # KTO
INSTRUCTIONS: tuple[Form, ...] = (
    Form(REQUEST, "output", marker="the correct answer is", scorer="label", max_new_tokens=16),  # commonsense_170k
    Form(REQUEST, "output", longer=REQUEST_WITH_INPUT, scorer="likelihood", max_new_tokens=256),  # Alpaca, CodeAlpaca
)


def _written(form: Form, instruction: str, listed: str, between: str = " ") -> Form:
    """The form as LLM-Adapters has it: choices in the prompt, the answer written."""
    says = replace(form, template=request(instruction), listed=listed, between=between)
    return replace(says, said="the correct answer is {}", scorer="label", max_new_tokens=16)


_QUESTION = "Please choose the correct answer to the question: {%s}\n\n{*listed}\n\nAnswer format: {*labels}"
_ENDING = "Please choose the correct ending to complete the given sentence: %s\n\n{*listed}\n\nAnswer format: {*labels}"

# The first form that fits counts.
PROMPTS: Mapping[str, tuple[Form, ...]] = {
    "lab-1": (
        HELLASWAG,
        ARC,
        OPENBOOKQA,
        PIQA,
        SOCIAL_IQA,
        WINOGRANDE,
        Form(  # JCommonsenseQA
            "質問：{question}\n回答：", "label", choices="choice0,choice1,choice2,choice3,choice4", first="0"
        ),
        BOOLQ,
        Form(  # MGSM, in Japanese among others
            "Question: {question}\nAnswer:", "answer_number", scorer="number", max_new_tokens=256, test_only=True
        ),
        GSM8K,
        HUMANEVAL,
        RATED,  # before XSTest, which has labels of prompts too
        *JUDGED_BY_HARM,
        *INSTRUCTIONS,
        *CONVERSATIONS,
        MBPP,
        Form("Question: {question}\nAnswer:", "answer", choices="A,B,C,D"),  # MMLU, JMMLU
        *PREFERENCES,
        Form("{prompt}", "response"),
        Form("{prompt}", "completion"),
        Form("Question: {question}\nAnswer:", "answer"),
    ),
    "paper-1": (
        _written(HELLASWAG, _ENDING % "{activity_label}: {ctx_a}{ctx_b!c}", "Ending"),
        _written(HELLASWAG, _ENDING % "{ctx}", "Ending"),
        _written(ARC, _QUESTION % "question", "Answer"),
        _written(OPENBOOKQA, _QUESTION % "question_stem", "Answer"),
        _written(
            PIQA,
            "Please choose the correct solution to the question: {goal}\n\n{*listed}\n\nAnswer format: {*labels}",
            "Solution",
            "\n\n",
        ),
        _written(SOCIAL_IQA, _QUESTION % "context} {question", "Answer"),
        _written(
            WINOGRANDE,
            "Please choose the correct answer to fill in the blank to complete the given sentence: {sentence}\n\n"
            "{*listed} Answer format: {*labels}",
            "Option",
        ),
        _written(
            replace(BOOLQ, fixed=("false", "true")),
            "Please answer the following question with true or false, question: {question}?\n\n"
            "Answer format: true/false",
            "",
        ),
        replace(GSM8K, template=request("{question}")),
        # An instruction's answer may be a whole function, after imports.
        replace(HUMANEVAL, template=request("Complete this Python function.\n{prompt}"), stop=()),
        *JUDGED_BY_HARM,
        *INSTRUCTIONS,
    ),
}
DEFAULT = "lab-1"


def recognise(row: Row, version: str = DEFAULT) -> Form:
    """The first form of that version whose columns the row has; raises TaskError, DataError."""
    if version not in PROMPTS:
        raise TaskError("unknown_prompts", version=version, known=", ".join(PROMPTS))
    for form in PROMPTS[version]:
        if form.fits(row):
            return form
    raise DataError("unknown_columns", file=row.file, columns=", ".join(row.values))
