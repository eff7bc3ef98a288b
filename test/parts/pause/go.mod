module kube-signet/test/parts/pause

go 1.26
