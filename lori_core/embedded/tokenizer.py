"""The base's tokenizer: byte-level BPE trained on the corpus. Any text encodes; words and numbers are whole."""

from random import Random

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from lori_core.embedded.corpus import document

PAD, START, END = "<pad>", "<s>", "</s>"
POSITIONS = 512


def train_tokenizer(vocabulary: int, seed: int, documents: int = 30_000) -> PreTrainedTokenizerFast:
    """Each text begins with <s>; whoever writes an answer ends it with </s>."""
    random = Random(f"tokenizer {seed}")
    texts = ["".join(text for text, _ in document(random)) for _ in range(documents)]
    texts += [" ".join(f"{sign}{n}" for n in range(100) for sign in ("", " "))] * 2000  # every number is one token
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=[PAD, START, END], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(texts, trainer)
    start = (START, tokenizer.token_to_id(START))
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{START} $A", special_tokens=[start])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        padding_side="left",
        model_max_length=POSITIONS,
        clean_up_tokenization_spaces=False,
    )
