// Controlplane is a Kubernetes cluster for tests in one program: etcd, API server, controllers and scheduler are the
// real ones; nodes and what runs on them are simulated by kwok, so pods become ready and jobs complete in a second.
//
//	controlplane up --state DIR --port 6443 --nodes 3     a whole cluster, until it is interrupted
//	controlplane kubectl ...                              the client
//	controlplane etcd|kube-apiserver|... FLAGS            one component
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"

	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
)

func main() {
	components := map[string]func() *cobra.Command{
		"up":                      newUpCommand,
		"etcd":                    newEtcdCommand,
		"kube-apiserver":          apiserver.NewAPIServerCommand,
		"kube-controller-manager": controllermanager.NewControllerManagerCommand,
		"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
		"kwok":                    newKwokCommand,
		"kubectl":                 kubectl.NewDefaultKubectlCommand,
	}
	if len(os.Args) < 2 || components[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: controlplane up|etcd|kube-apiserver|kube-controller-manager|kube-scheduler|kwok|kubectl FLAGS")
		os.Exit(2)
	}
	os.Args = os.Args[1:]
	command := components[os.Args[0]]()
	if os.Args[0] == "kubectl" {
		if cli.RunNoErrOutput(command) != nil { // it has printed the error itself
			os.Exit(1)
		}
		return
	}
	os.Exit(cli.Run(command))
}
