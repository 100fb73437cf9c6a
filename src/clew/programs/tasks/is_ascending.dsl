task is_ascending (xs: list) -> bool
about     Whether no element is smaller than the one before it.
example   [] -> true
example   [1, 3, 3, 8] -> true
example   [3, 1, 2] -> false
example   [-5, -2, 0, 7, 6] -> false
example   [2, 9] -> true
reference all (\x -> 0 <= x) (zip (\x y -> y - x) xs (drop 1 xs))
