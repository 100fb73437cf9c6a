task is_total_even (xs: list) -> bool
about     Whether the sum is even.
example   [] -> true
example   [3] -> false
example   [3, 5] -> true
example   [1, 2, 4, 6] -> false
example   [-7, 9, 2] -> true
reference even (sum xs)
