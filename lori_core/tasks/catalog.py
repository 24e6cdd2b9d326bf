"""Tasks of the paper and Japanese ones by name: what `name` alone stands for, as `name=...` would be written.

HEx-PHI is gated and SaferPaca has no hub id: bring both as files, as in
safety=saferpaca.json?prompts=paper-1&test=hex-phi-folder&test=hf:Paul/XSTest
"""

CATALOG: dict[str, str] = {
    "boolq": "hf:google/boolq",
    "piqa": "hf:baber/piqa",
    "social_iqa": "hf:lighteval/siqa",
    "arc_easy": "hf:allenai/ai2_arc@ARC-Easy",
    "arc_challenge": "hf:allenai/ai2_arc@ARC-Challenge",
    "openbookqa": "hf:allenai/openbookqa@main",
    "hellaswag": "hf:Rowan/hellaswag",
    "winogrande": "hf:allenai/winogrande@winogrande_xl",
    "commonsense_170k": "hf:zwhe99/commonsense_170k",
    "gsm8k": "hf:openai/gsm8k@main",
    "codealpaca": "hf:sahil2801/CodeAlpaca-20k",
    "humaneval": "hf:openai/openai_humaneval",
    "xstest": "hf:Paul/XSTest",
    "jcommonsenseqa": "hf:leemeng/jcommonsenseqa-v1.1",
    "mgsm_ja": "hf:juletxara/mgsm@ja",
}
NLU = ("boolq", "piqa", "social_iqa", "arc_easy", "arc_challenge", "openbookqa", "hellaswag", "winogrande")

# What the paper trains on, tested on what it tests on.
CATALOG |= {
    "paper_nlu": "&test=".join([CATALOG["commonsense_170k"] + "?prompts=paper-1", *(CATALOG[name] for name in NLU)]),
    "paper_math": CATALOG["gsm8k"] + "?prompts=paper-1",
    "paper_code": f"{CATALOG['codealpaca']}?prompts=paper-1&test={CATALOG['humaneval']}",
}
