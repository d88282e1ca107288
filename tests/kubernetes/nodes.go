package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// addNodes adds the nodes, and a default storage class whose volumes the controller manager makes.
func (c *cluster) addNodes() error {
	var objects strings.Builder
	objects.WriteString(`apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: standard, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/host-path
allowVolumeExpansion: true
`)
	for i := 1; i <= c.nodes; i++ {
		fmt.Fprintf(&objects, `---
apiVersion: v1
kind: Node
metadata:
  name: node-%[1]d
  labels: {kubernetes.io/os: linux, kubernetes.io/arch: amd64, kubernetes.io/hostname: node-%[1]d, topology.kubernetes.io/zone: zone-%[1]d}
status:
  allocatable: {cpu: "256", memory: 1Ti, ephemeral-storage: 1Ti, pods: "2000"}
  capacity: {cpu: "256", memory: 1Ti, ephemeral-storage: 1Ti, pods: "2000"}
`, i)
	}
	_, err := c.kubectl(objects.String(), "apply", "--server-side", "-f", "-")
	return err
}

// settled says whether the nodes are ready and the controllers have made the default service account.
func (c *cluster) settled() bool {
	ready, err := c.kubectl("", "get", "nodes", "-o", `jsonpath={range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{end}`)
	if err != nil || strings.Count(ready, "True") != c.nodes {
		return false
	}
	_, err = c.kubectl("", "get", "serviceaccount", "default", "--namespace=default")
	return err == nil
}

func (c *cluster) kubectl(input string, arguments ...string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	command := exec.Command(self, append([]string{"kubectl", "--kubeconfig", c.path("admin.kubeconfig")}, arguments...)...)
	command.Stdin = strings.NewReader(input)
	output, err := command.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("kubectl %s: %s", strings.Join(arguments, " "), exit.Stderr)
	}
	return string(output), err
}
