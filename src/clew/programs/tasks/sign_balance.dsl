task sign_balance (xs: list) -> int
about     How many more elements are above 0 than below it.
ensures   abs result <= length xs
example   [-3] -> -1
example   [1, 2, -3, 1, 2, -2, 3] -> 3
example   [1, 0, 0, -3, 2] -> 1
example   [2, -2, 3, 2] -> 2
example   [3, -1, -2, 2, -1, -1, -1, 2] -> -2
reference count (\x -> 0 < x) xs - count (\x -> x < 0) xs
