task has_negative (xs: list) -> bool
about     Whether an element is below 0.
example   [] -> false
example   [0, 4] -> false
example   [3, -1, 8] -> true
example   [-5] -> true
example   [2, 9, 6, 1] -> false
reference any (\x -> x < 0) xs
