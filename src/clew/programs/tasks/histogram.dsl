task histogram (xs: list) -> list
about     How often each different element stands there, in the order of their first places.
ensures   sum result == length xs
example   [1, 0] -> [1, 1]
example   [3, 2, 0, 1] -> [1, 1, 1, 1]
example   [1, 3, 1, 0, 2, 2, 0] -> [2, 1, 2, 2]
example   [3, 3, 2, 0, 3] -> [3, 1, 1]
example   [2, 3, 2, 2, 1, 1, 1, 3, 0] -> [3, 2, 3, 1]
reference map (\x -> count (\y -> x == y) xs) (unique xs)
