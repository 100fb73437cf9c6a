task all_positive (xs: list) -> bool
about     Whether every element is above 0.
example   [] -> true
example   [0, 4] -> false
example   [3, 1, 8] -> true
example   [-5] -> false
example   [2, 9, 6, -1] -> false
reference all (\x -> 0 < x) xs
