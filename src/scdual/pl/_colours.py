"""The colours of signs, the same in every picture; the pair can be told apart with any colour vision."""

ACTIVATION_COLOUR = "#D55E00"
REPRESSION_COLOUR = "#0072B2"
