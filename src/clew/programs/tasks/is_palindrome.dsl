task is_palindrome (xs: list) -> bool
about     Whether a list reads the same from both ends.
example   [] -> true
example   [4, 1, 4] -> true
example   [3, 1, 2] -> false
example   [5, 2, 2, 5] -> true
example   [1, 2, 1, 2] -> false
reference all (\x -> x == 0) (zip (\x y -> x - y) xs (reverse xs))
