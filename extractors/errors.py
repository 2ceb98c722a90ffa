"""Errors of the extractors, as one tree.

ExtractorError             anything a user can mend; its message is the one line shown
├── UnknownExtractor       a name or an option that no extractor has
├── WeightsMissing         no weights by path, cache or hub
├── BadWeights             a file that is not the published layout, or not the published bytes
└── MachineFault           a fault of this machine (no codec, no such precision): stops a run
InputFault                 a fault of one item: quarantines it and nothing else; `reason` is its class in the tables
├── Unreachable            the bytes cannot be had: vanished, not permitted (holds until the file is indexed again)
├── NotAVideo              no container, no video stream
├── NotAnImage             no image of a format that is read
├── TooLarge               more memory than one file may take
├── NoDecoder              a stream that FFmpeg here has no decoder for, or whose codec tag is broken
├── Truncated              fewer frames than the container says
├── Corrupt                frames that do not decode, or decode with errors
├── TooShort               too few frames for what is asked
├── TooSmall               pictures too narrow or too low for the crop that is asked
├── OutOfVocabulary        a text none of whose words has a vector
└── NotFinite              a feature row with NaN or infinity
"""


class ExtractorError(Exception):
    """A fault of use or of the machine: message says what rule, what value, where, what to do."""


class UnknownExtractor(ExtractorError):
    """A name that `extractors.EXTRACTORS` does not have; the message lists those it has."""


class WeightsMissing(ExtractorError):
    """No weights by path, local cache or hub; the message lists the three and the offline pack."""


class BadWeights(ExtractorError):
    """A weights file of another layout, or whose digest is not the published one."""


class MachineFault(ExtractorError):
    """This machine lacks something the run needs; no other item would do better."""


class InputFault(Exception):
    """One item cannot be turned into features; the others can."""


class Unreachable(InputFault):
    """The bytes cannot be had now: the file vanished or may not be read."""


class NotAVideo(InputFault):
    """No container that FFmpeg knows, or no video stream in it."""


class NotAnImage(InputFault):
    """No image of a format that is read."""


class TooLarge(InputFault):
    """It asks for more memory than one file may take (`untrusted.limits`)."""


class NoDecoder(InputFault):
    """FFmpeg here has no decoder for the stream; many in a row stop the run, one alone may be a broken tag."""


class Truncated(InputFault):
    """The container announces more frames than the file holds."""


class Corrupt(InputFault):
    """Frames do not decode, or decode with errors."""


class TooShort(InputFault):
    """Fewer frames than what is asked can be made of."""


class TooSmall(InputFault):
    """Pictures narrower or lower, once resized, than the crop that is asked."""


class NotFinite(InputFault):
    """A computed row holds NaN or infinity."""


class OutOfVocabulary(InputFault):
    """No word of a text has a vector; the message names its words."""
